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
from inference.runtimes.safetensors import model_class, read_json, weight_files
from inference.runtimes.sentences import TOKENS, embedding_stages
from inference.runtimes.signatures import check_batch_axis, infer_stage
from inference.spec import Signature, Stage, StageKind, TensorSpec

TOKENIZER = "tokenizer.json"
MODULES = "modules.json"
IMAGE = TensorSpec(name="image", datatype="BYTES", shape=(-1,))
# Output fields that are one tensor and mean something alone.
OUTPUTS = ("last_hidden_state", "logits", "pooler_output", "image_embeds", "text_embeds")
MAX_TOKENS = 8192
TOP_K = 5


def inspect_folder(folder: Path, given: Signature | None) -> Inspection:
    """Signature and stages of the whole version: from text or pictures where the folder says how, else from tensors."""
    described = describe_model(folder)
    if given is not None:
        check_batch_axis(given)
        return msgspec.structs.replace(described, signature=given, stages=(infer_stage(given),))
    taken = {spec.name for spec in described.signature.inputs}
    made = {spec.name for spec in described.signature.outputs}
    if "input_ids" in taken and (folder / TOKENIZER).is_file():
        if "last_hidden_state" in made:
            return embedding(folder, described)
        if "logits" in made:
            return text_classifier(folder, described)
    if "pixel_values" in taken and "logits" in made and (folder / "preprocessor_config.json").is_file():
        return image_classifier(folder, described)
    return described


def describe_model(folder: Path) -> Inspection:
    """Tensors in and out of the bare model, and whether the files hold its weights."""
    kind, config = model_class(folder)
    with torch.device("meta"):
        model = kind._from_config(config, dtype=torch.float32).eval()
    found = read_headers(folder)
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
    if missing == expected.keys():
        warnings.append("No weight has the name that the model uses; they are translated while loading.")
    elif missing:
        warnings.append(f"{len(missing)} weights are looked for under older names, such as {min(missing)}.")
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


def max_tokens(folder: Path) -> int:
    """The length that texts are cut to, as the folder's own files say, most particular first."""
    settings = [
        (folder / "sentence_bert_config.json", "max_seq_length"),
        (folder / "tokenizer_config.json", "model_max_length"),
        (folder / "config.json", "max_position_embeddings"),
    ]
    for path, field in settings:
        value = read_json(path).get(field) if path.is_file() else None
        if isinstance(value, int) and 0 < value <= MAX_TOKENS:
            return value
    return 512


def pad_id(folder: Path) -> int:
    value = read_json(folder / "config.json").get("pad_token_id")
    return value if isinstance(value, int) else 0


def embedding(folder: Path, described: Inspection) -> Inspection:
    """Text to one vector, pooled as modules.json says."""
    size = next(spec.shape[-1] for spec in described.signature.outputs if spec.name == "last_hidden_state")
    warnings = list(described.warnings)
    mode, normalize = "mean", True
    if (folder / MODULES).is_file():
        kinds, mode = read_modules(folder)
        normalize = "Normalize" in kinds
        if foreign := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
            warnings.append(
                f"modules.json ends with {', '.join(foreign)}, which is not run: vectors are those before it."
            )
    else:
        warnings.append("There is no modules.json to say how vectors are pooled: mean and length 1 are assumed.")
    signature, stages = embedding_stages(
        size, max_length=max_tokens(folder), pad_id=pad_id(folder), mode=mode, normalize=normalize
    )
    return msgspec.structs.replace(described, signature=signature, stages=stages, warnings=tuple(warnings))


def read_modules(folder: Path) -> tuple[list[str], str]:
    """The modules' class names in order, and the pooling mode."""
    try:
        modules = msgspec.json.decode((folder / MODULES).read_bytes(), type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise CorruptArtifact(f"{MODULES} is not a list of modules: {error}.") from None
    kinds, mode = [], "mean"
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        kinds.append(kind)
        if kind == "Pooling":
            settings = read_json(folder / "1_Pooling" / "config.json")
            modern = settings.get("pooling_mode")
            old = [
                n.removeprefix("pooling_mode_") for n, on in settings.items() if n.startswith("pooling_mode_") and on
            ]
            chosen = [modern] if isinstance(modern, str) else old
            mode = {"mean_tokens": "mean", "cls_token": "cls"}.get(chosen[0], chosen[0]) if chosen else "mean"
            if len(chosen) > 1 or mode not in ("mean", "cls"):
                raise UnsupportedFormat(f"Pooling by {', '.join(chosen)} is not offered; mean and cls are.")
    return kinds, mode


def labels_of(folder: Path, classes: int) -> list[str]:
    names = read_json(folder / "config.json").get("id2label") or {}
    return [str(names.get(str(index), index)) for index in range(classes)]


def classify_stage(folder: Path, described: Inspection) -> tuple[Stage, tuple[TensorSpec, ...]]:
    logits = next(spec for spec in described.signature.outputs if spec.name == "logits")
    labels = labels_of(folder, logits.shape[-1])
    top_k = min(TOP_K, len(labels))
    outputs = (
        TensorSpec(name="label", datatype="BYTES", shape=(-1, top_k)),
        TensorSpec(name="score", datatype="FP32", shape=(-1, top_k)),
    )
    stage = Stage(
        name="classify",
        kind=StageKind.POSTPROCESS,
        use="classify",
        config={"top_k": top_k, "labels": [*labels]},
        signature=Signature(inputs=(logits,), outputs=outputs),
    )
    return stage, outputs


def only_logits(described: Inspection) -> Stage:
    wanted = tuple(spec for spec in described.signature.outputs if spec.name == "logits")
    return infer_stage(Signature(inputs=described.signature.inputs, outputs=wanted))


def text_classifier(folder: Path, described: Inspection) -> Inspection:
    logits = next(spec for spec in described.signature.outputs if spec.name == "logits")
    if len(logits.shape) != 2:  # a label a token, or a language model's vocabulary: clients want those as they are
        return described
    _, (tokenize, _, _) = embedding_stages(1, max_length=max_tokens(folder), pad_id=pad_id(folder))
    classify, outputs = classify_stage(folder, described)
    return msgspec.structs.replace(
        described,
        signature=Signature(inputs=tokenize.signature.inputs, outputs=outputs),
        stages=(tokenize, only_logits(described), classify),
    )


def image_classifier(folder: Path, described: Inspection) -> Inspection:
    settings = read_json(folder / "preprocessor_config.json")
    pixels = described.signature.inputs[0]
    if len(next(spec for spec in described.signature.outputs if spec.name == "logits").shape) != 2:
        return described
    channels, height, width = pixels.shape[1:]
    config: dict[str, Any] = {
        "width": width,
        "height": height,
        "color": "rgb" if channels == 3 else "gray",
        "scale": float(settings.get("rescale_factor", 1 / 255)),
    }
    if settings.get("do_normalize", True) and "image_mean" in settings:
        config |= {"mean": settings["image_mean"], "std": settings["image_std"]}
    decode = Stage(
        name="decode",
        kind=StageKind.PREPROCESS,
        use="image",
        config=config,
        signature=Signature(inputs=(IMAGE,), outputs=(pixels,)),
    )
    classify, outputs = classify_stage(folder, described)
    return msgspec.structs.replace(
        described,
        signature=Signature(inputs=(IMAGE,), outputs=outputs),
        stages=(decode, only_logits(described), classify),
    )
