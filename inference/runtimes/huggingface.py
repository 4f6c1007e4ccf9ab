"""What a Hugging Face folder says about its model, read without loading a weight.

The model is built on torch's `meta` device, which has shapes and no numbers: its forward pass there shows the outputs'
shapes, and its weights' names and shapes are compared with the headers of the files.
"""

from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open

from inference.errors import CorruptArtifact, UnsupportedFormat
from inference.runtimes.base import Inspection
from inference.runtimes.derive import derive_stages
from inference.runtimes.safetensors import model_class, options, weight_files
from inference.runtimes.sentences import TOKENS
from inference.runtimes.signatures import check_batch_axis, infer_stage
from inference.spec import Signature, TensorSpec

# Output fields that are one tensor and mean something alone.
OUTPUTS = ("last_hidden_state", "logits", "pooler_output", "image_embeds", "text_embeds")


def inspect_folder(folder: Path, given: Signature | None) -> Inspection:
    described = describe_model(folder)
    if given is None:
        return derive_stages(folder, described)
    check_batch_axis(given)
    return msgspec.structs.replace(described, signature=given, stages=(infer_stage(given),))


def describe_model(folder: Path) -> Inspection:
    """Tensors in and out of the bare model, and whether the files hold its weights."""
    kind, config = model_class(folder)
    found = read_headers(folder)
    with torch.device("meta"):
        model = kind._from_config(config, dtype=torch.float32, **options(kind, found)).eval()
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = [name for name, shape in expected.items() if name in found and found[name] != shape]
    if wrong:
        name = wrong[0]
        raise CorruptArtifact(
            f"Weight {name!r} has the shape {list(found[name])}; config.json calls for {list(expected[name])}. Upload "
            "the config.json that belongs to these weights."
        )
    warnings = []
    missing = expected.keys() - set(getattr(model, "_tied_weights_keys", None) or ()) - found.keys()
    if missing and found.keys() <= expected.keys():
        raise CorruptArtifact(
            f"The files lack {len(missing)} weights of {kind.__name__}, such as {min(missing)}. Upload every "
            "*.safetensors of the model."
        )
    if missing:
        warnings.append(f"{len(missing)} weights, such as {min(missing)}, are looked for under older names on loading.")
    signature = probe(model, config)
    parameters = sum(int(torch.Size(shape).numel()) for shape in found.values())
    return Inspection(signature, (infer_stage(signature),), parameters, tuple(warnings))


def read_headers(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor in the weight files. Opening checks that header and size agree."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                shapes.update({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
        except FileNotFoundError:
            raise CorruptArtifact(f"The folder has no {path.name}. Upload every *.safetensors of the model.") from None
        except (SafetensorError, OSError) as error:
            raise CorruptArtifact(f"{path.name} is not a whole safetensors file: {error}.") from None
    return shapes


def probe(model: Any, config: Any) -> Signature:
    """Run two shapes of input without numbers; what differs between the outputs varies."""
    main = getattr(model, "main_input_name", "input_ids")
    inputs: tuple[TensorSpec, ...]
    if main == "input_ids":
        inputs, sizes = TOKENS, ((2, 5), (3, 7))
    elif main == "pixel_values":
        side = getattr(config, "image_size", None) or 224
        height, width = side if isinstance(side, (list, tuple)) else (side, side)
        channels = getattr(config, "num_channels", 3)
        inputs = (TensorSpec(name=main, datatype="FP32", shape=(-1, channels, height, width)),)
        sizes = ((2, 1), (3, 1))
    else:
        raise UnsupportedFormat(
            f"{type(model).__name__} takes {main!r}, which no stage here makes. Give the version a signature by hand, "
            "or export the model to ONNX."
        )
    shapes = []
    for rows, length in sizes:
        # Without the mask, whose numbers models look at; it changes no shape.
        tensors = {spec.name: empty(spec, rows, length) for spec in inputs if spec.name != "attention_mask"}
        try:
            with torch.no_grad():
                answer = model(**tensors, return_dict=True)
        except Exception as error:  # models may refuse in any way to run without numbers
            raise UnsupportedFormat(
                f"{type(model).__name__} cannot tell its outputs from its configuration alone "
                f"({str(error).splitlines()[0][:200]}). Give the version a signature by hand, or export to ONNX."
            ) from error
        shapes.append({n: tuple(answer[n].shape) for n in OUTPUTS if isinstance(answer.get(n), torch.Tensor)})
    if not shapes[0]:
        raise UnsupportedFormat(f"{type(model).__name__} gives none of {', '.join(OUTPUTS)}. Export it to ONNX.")
    outputs = []
    for name, first in shapes[0].items():
        shape = tuple(a if a == b else -1 for a, b in zip(first, shapes[1][name], strict=True))
        ragged = (1,) if len(shape) == 3 and shape[1] == -1 else ()
        outputs.append(TensorSpec(name=name, datatype="FP32", shape=shape, ragged_axes=ragged))
    return Signature(inputs=inputs, outputs=tuple(outputs))


def empty(spec: TensorSpec, rows: int, length: int) -> torch.Tensor:
    shape = (rows, *(length if size < 0 else size for size in spec.shape[1:]))
    return torch.ones(shape, dtype=torch.int64 if spec.datatype == "INT64" else torch.float32, device="meta")
