"""Stages around a bare model, from what the files beside it say: text or pictures in, vectors or labels out.

What a folder leaves open is not guessed in silence: each assumption is a warning of the inspection.
"""

from pathlib import Path
from typing import Any

import msgspec

from inference.errors import CorruptArtifact, UnsupportedFormat
from inference.runtimes.base import Inspection
from inference.runtimes.folder import read_json
from inference.runtimes.sentences import embedding_stages, tokenize_stage
from inference.spec import Signature, Stage, StageKind, TensorSpec

TOKENIZER = "tokenizer.json"
MODULES = "modules.json"
PREPROCESSOR = "preprocessor_config.json"
IMAGE = TensorSpec(name="image", datatype="BYTES", shape=(-1,))
TOKEN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
MAX_TOKENS = 8192
DEFAULT_TOKENS = 512
TOP_K = 5


def derive_stages(folder: Path, described: Inspection) -> Inspection:
    """`described` with processors around its model where the folder says how; as it is, where not."""
    taken = {spec.name for spec in described.signature.inputs}
    made = {spec.name: spec for spec in described.signature.outputs}
    if {"input_ids", "attention_mask"} <= taken <= TOKEN_INPUTS and (folder / TOKENIZER).is_file():
        if "last_hidden_state" in made:
            return embedding(folder, described)
        if "logits" in made and len(made["logits"].shape) == 2:
            return text_classifier(folder, described)
    elif taken == {"pixel_values"} and "logits" in made and (folder / PREPROCESSOR).is_file():
        if len(made["logits"].shape) == 2:
            return image_classifier(folder, described)
    elif "input_ids" in taken:
        return warn(described, "There is no tokenizer.json: clients must send token ids themselves.")
    return described


def warn(described: Inspection, *lines: str) -> Inspection:
    return msgspec.structs.replace(described, warnings=(*described.warnings, *lines))


def embedding(folder: Path, described: Inspection) -> Inspection:
    """Text to one vector, pooled as modules.json says."""
    mode, normalize = "mean", True
    if (folder / MODULES).is_file():
        kinds, mode = read_modules(folder)
        normalize = "Normalize" in kinds
        if foreign := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
            lost = ", ".join(foreign)
            described = warn(described, f"{MODULES} also wants {lost}, which is not run: vectors are those without it.")
    else:
        described = warn(described, f"There is no {MODULES} to say how to pool: mean, and length 1, are assumed.")
    signature, stages = embedding_stages(
        described.signature, max_length=max_tokens(folder), pad_id=pad_id(folder), mode=mode, normalize=normalize
    )
    return msgspec.structs.replace(described, signature=signature, stages=stages)


def read_modules(folder: Path) -> tuple[list[str], str]:
    """The modules' class names in order, and the pooling mode."""
    try:
        modules = msgspec.json.decode((folder / MODULES).read_bytes(), type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise CorruptArtifact(f"{MODULES} is not a list of modules: {error}.") from None
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    mode = "mean"
    if "Pooling" in kinds:
        settings = read_json(folder / "1_Pooling" / "config.json")
        flags = {name.removeprefix("pooling_mode_") for name, on in settings.items() if on is True}
        modern = settings.get("pooling_mode")
        chosen = [modern] if isinstance(modern, str) else sorted(flags & POOLING_FLAGS)
        mode = {"mean_tokens": "mean", "cls_token": "cls"}.get(chosen[0], chosen[0]) if chosen else "mean"
        if len(chosen) > 1 or mode not in ("mean", "cls"):
            raise UnsupportedFormat(f"Pooling by {', '.join(chosen)} is not offered; mean and cls are.")
    return kinds, mode


POOLING_FLAGS = {
    "mean_tokens", "cls_token", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken",
}  # fmt: skip


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
    return DEFAULT_TOKENS


def pad_id(folder: Path) -> int:
    value = read_json(folder / "config.json").get("pad_token_id") if (folder / "config.json").is_file() else None
    return value if isinstance(value, int) else 0


def text_classifier(folder: Path, described: Inspection) -> Inspection:
    tokenize = tokenize_stage(described.signature.inputs, max_tokens(folder), pad_id(folder))
    return classified(folder, described, tokenize)


def image_classifier(folder: Path, described: Inspection) -> Inspection:
    settings = read_json(folder / PREPROCESSOR)
    pixels = described.signature.inputs[0]
    channels, height, width = pixels.shape[1:]
    if channels not in (1, 3) or -1 in (height, width):
        return warn(described, f"Pictures of {list(pixels.shape[1:])} cannot be made here: clients send pixels.")
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
    return classified(folder, described, decode)


def classified(folder: Path, described: Inspection, first: Stage) -> Inspection:
    """`first`, the model, and its logits as the likeliest labels of config.json."""
    logits = next(spec for spec in described.signature.outputs if spec.name == "logits")
    names = (read_json(folder / "config.json") if (folder / "config.json").is_file() else {}).get("id2label") or {}
    labels: list[Any] = [str(names.get(str(index), index)) for index in range(logits.shape[-1])]
    top_k = min(TOP_K, len(labels))
    outputs = (
        TensorSpec(name="label", datatype="BYTES", shape=(-1, top_k)),
        TensorSpec(name="score", datatype="FP32", shape=(-1, top_k)),
    )
    infer = Signature(inputs=described.signature.inputs, outputs=(logits,))
    stages = (
        first,
        Stage(name="infer", kind=StageKind.INFER, signature=infer),
        Stage(
            name="classify",
            kind=StageKind.POSTPROCESS,
            use="classify",
            config={"top_k": top_k, "labels": labels},
            signature=Signature(inputs=(logits,), outputs=outputs),
        ),
    )
    signature = Signature(inputs=first.signature.inputs, outputs=outputs)
    return msgspec.structs.replace(described, signature=signature, stages=stages)
