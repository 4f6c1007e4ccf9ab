"""What the whole path costs: `make bench`, or `python -m bench.throughput [--seconds 8] [--out FILE]`.

Two questions, each answered as a ratio or difference within one run on one machine:

1. Overhead at one client: HTTP in to HTTP out, minus the time in the model, p50.
2. MiniLM at 64 clients, inputs of 32 tokens, against plain torch at batch 32 with the same number of threads: how much
   of what the machine can do reaches clients. Plain torch gets its tokens ready-made; we tokenize each request.

Caveats: the load generator shares the machine's cores with the server, so on two cores the ratio is a lower bound.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.deployment import ROOT, Deployment, deploy, make_recipe, version_of

WORDS = "the signal box at night shows every track and one lamp for what needs a hand while trains pass on time "
TOKENS, BATCH = 32, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sy-bench-") as name:
        result = measure(Path(name), given.seconds, given.repeat, given.threads, given.replicas)
    text = json.dumps(result, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


def measure(folder: Path, seconds: float, repeat: int, threads: int, replicas: int) -> dict[str, object]:
    """Plain torch and the served model in turn, `repeat` times; medians of each and of their ratio."""
    recipe = make_recipe("minilm-v1", folder / "recipe")
    text = text_of_tokens(recipe / "files", TOKENS)
    body = folder / "body.json"
    body.write_text(json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}))
    version = version_of(recipe, folder / "store", replicas, threads, BATCH)
    single, many, plain = [], [], []
    for turn in range(repeat):
        plain.append(plain_torch(recipe / "files", threads, replicas, seconds))
        turn_folder = folder / str(turn)
        turn_folder.mkdir()
        with deploy(turn_folder, "minilm", version) as running:
            single.append(load(running, body, 1, seconds))
            many.append(load(running, body, 64, seconds))
    overhead = [one["p50_ms"] - one["server_ms"]["compute"] for one in single]
    ratios = [one["rps"] / base for one, base in zip(many, plain, strict=True)]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "threads": threads,
        "replicas": replicas,
        "overhead_p50_ms": round(statistics.median(overhead), 3),
        "plain_torch_rows_per_s": round(statistics.median(plain), 1),
        "served_rows_per_s": round(statistics.median(one["rps"] for one in many), 1),
        "ratio": round(statistics.median(ratios), 3),
        "errors": sum(one["errors"] for one in single + many),
        "clients_1": single,
        "clients_64": many,
    }


def load(running: Deployment, body: Path, clients: int, seconds: float) -> dict[str, float]:
    command = [
        sys.executable, "-m", "bench.load", f"{running.url}/v2/models/minilm/infer", "--body", str(body),
        "--clients", str(clients), "--seconds", str(seconds), "--header", f"Authorization: Bearer {running.key}",
        "--header", "Content-Type: application/json",
    ]  # fmt: skip
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def text_of_tokens(folder: Path, count: int) -> str:
    """A text of exactly `count` tokens, special ones included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    words = (WORDS * 8).split()
    for used in range(1, len(words)):
        if len(tokenizer.encode(" ".join(words[:used])).ids) == count:
            return " ".join(words[:used])
    raise ValueError(f"No prefix of the sample text has {count} tokens.")


PLAIN = """
import sys, time, torch
from transformers import AutoModel
folder, threads, seconds, batch, tokens = sys.argv[1], *map(float, sys.argv[2:])
torch.set_num_threads(int(threads))
model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
ids = torch.randint(1000, 20000, (int(batch), int(tokens)))
mask = torch.ones_like(ids)
with torch.inference_mode():
    for _ in range(3):
        model(input_ids=ids, attention_mask=mask)
    done, end = 0, time.perf_counter() + seconds
    start = time.perf_counter()
    while time.perf_counter() < end:
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.nn.functional.normalize(hidden.mean(1), dim=1)
        done += len(ids)
print(done / (time.perf_counter() - start))
"""


def plain_torch(folder: Path, threads: int, processes: int, seconds: float) -> float:
    """Rows/s of the bare model in `processes` processes of `threads` threads each."""
    command = [sys.executable, "-c", PLAIN, str(folder), str(threads), str(seconds), str(BATCH), str(TOKENS)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(processes)]
    return sum(float(process.communicate(timeout=300)[0].split()[-1]) for process in running)


if __name__ == "__main__":
    main()
