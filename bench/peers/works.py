"""What is asked, and what must come back, for each work. `python -m bench.peers.works FOLDER` makes the files once.

The right answers come from the bare models, in a process of their own: torch has no business in the one that measures.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.deployment import ROOT
from bench.peers.servers import models
from bench.peers.servers.settings import Settings

TOLERANCE = 1e-4
MAKE_S = 600


@dataclass(frozen=True)
class Work:
    model: str
    request: dict[str, Any]
    expected: list[float]

    def body(self, *, as_list: bool = False) -> bytes:
        told = {"requests": [self.request]} if as_list else self.request
        return json.dumps(told, separators=(",", ":")).encode()

    def check(self, answer: Any) -> str:
        """What is wrong with an answer; empty when nothing is."""
        if isinstance(answer, list) and answer:
            answer = answer[0]
        try:
            found = answer["outputs"][0]["data"]
        except (KeyError, IndexError, TypeError):
            return f"not an answer of the protocol: {str(answer)[:200]}"
        found = np.array(found, dtype=np.float64).ravel()
        if found.shape != (len(self.expected),):
            return f"{found.size} numbers instead of {len(self.expected)}"
        difference = float(np.abs(found - self.expected).max())
        return "" if difference <= TOLERANCE else f"numbers differ by {difference:.2e}; {TOLERANCE:.0e} is allowed"


def sample(model: str) -> list[np.ndarray]:
    """One row for each input; token ids drawn once and for all."""
    if model == "w1":
        return [np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)]
    if model == "identity":
        return [np.random.default_rng(0).standard_normal((1, models.PICTURE[1].size), np.float32)]
    ids = np.random.default_rng(0).integers(1000, 29_000, (1, models.TOKENS)).astype(np.int64)
    ids[:, 0], ids[:, -1] = 101, 102  # [CLS] … [SEP]
    return [ids, np.ones_like(ids)]


def request(model: str) -> dict[str, Any]:
    inputs = [
        {
            "name": tensor.name,
            "shape": list(values.shape),
            "datatype": tensor.datatype,
            # The shortest digits that mean the same float32: 0.1, not 0.10000000149011612.
            "data": [json.loads(str(value)) for value in values.ravel()],
        }
        for tensor, values in zip(models.SHAPES[model][0], sample(model), strict=True)
    ]
    return {"id": "1", "inputs": inputs}


def get_work(model: str, folder: Path) -> Work:
    """Makes what is missing in `folder` first: seconds for most, a minute for the int8 graph."""
    path = folder / f"{model}.expected.json"
    if not path.is_file():
        command = [sys.executable, "-m", "bench.peers.works", str(folder), "--model", model]
        subprocess.run(command, cwd=ROOT, check=True, timeout=MAKE_S)
    return Work(model, request(model), json.loads(path.read_text()))


def make_int8(path: Path) -> None:
    """MiniLM with pooling as one ONNX graph, its weights quantized to int8 and its activations on the fly."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from inference.optimize.export import ByPosition, write_onnx
    from inference.spec import Signature, TensorSpec

    module = models.make_minilm()
    inputs, _ = models.SHAPES["w2int8"]
    # Not "embedding": a tensor inside the graph has that name already.
    output = TensorSpec(name="sentence_embedding", datatype="FP32", shape=(-1, models.SIZE))
    taken = tuple(TensorSpec(name=tensor.name, datatype="INT64", shape=(-1, tensor.size)) for tensor in inputs)
    example = [torch.from_numpy(np.repeat(values, 2, axis=0)) for values in sample("w2int8")]
    plain, finished = path.with_suffix(".fp32"), path.with_suffix(".part")
    write_onnx(ByPosition(module, module), example, Signature(inputs=taken, outputs=(output,)), plain)
    quantize_dynamic(str(plain), str(finished), weight_type=QuantType.QInt8)
    plain.unlink()
    finished.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=sorted(models.SHAPES), required=True)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.model == "w2int8" and not (given.folder / models.INT8).is_file():
        make_int8(given.folder / models.INT8)
    values = models.load(Settings(given.model, models=str(given.folder)))(*sample(given.model))
    (given.folder / f"{given.model}.expected.json").write_text(json.dumps(values.ravel().tolist()))


if __name__ == "__main__":
    main()
