"""Hugging Face folders: config.json, *.safetensors and, for text, tokenizer.json. Never remote code, never pickles.

Loading is the general `from_pretrained` only where it must be. Where file and model name their weights alike, the model
is built without drawing initial weights and takes the file's memory map as its weights: no copy, and pages that two
replicas share, but for the linear layers of a small model on a CPU (`weight_layout`).
"""

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open

from inference.errors import CorruptArtifact, UnsafeArtifact, UnsupportedFormat
from inference.runtimes.base import Inspection
from inference.runtimes.folder import read_json
from inference.runtimes.torch_tensors import check_device
from inference.runtimes.weight_layout import turn_weights
from inference.spec import Signature

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
OWN_CHOICES = ("attn_implementation", "experts_implementation")
HALF = (torch.float16, torch.bfloat16)


class SafetensorsRuntime:
    uses_torch: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = (
        "transformers.modeling_utils",
        "transformers.models.auto.modeling_auto",
        "tokenizers",
    )
    runs_code: ClassVar[bool] = False

    def __init__(self, model: torch.nn.Module, signature: Signature):
        self.module = model
        self.names = [spec.name for spec in signature.outputs]
        self.floats = {spec.name for spec in signature.inputs if spec.datatype in ("FP16", "BF16", "FP32", "FP64")}
        self.extra = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    @staticmethod
    def inspect(folder: Path, given: Signature | None) -> Inspection:
        from inference.runtimes.huggingface import inspect_folder

        return inspect_folder(folder, given)

    @classmethod
    def load(cls, folder: Path, signature: Signature, device: str, threads: int) -> Self:
        target = check_device(device)
        if threads:
            torch.set_num_threads(threads)
        kind, config = model_class(folder)
        taken = set(inspect.signature(kind.forward).parameters)
        if missing := {spec.name for spec in signature.inputs} - taken:
            raise UnsupportedFormat(
                f"{kind.__name__} takes no {missing}; it takes {', '.join(sorted(taken - {'self'}))}."
            )
        weights = read_weights(folder)
        model = build(kind, config, weights) or load_anyhow(kind, config, folder, options(kind, weights))
        # Half precision on a CPU is slower than float32, and less exact.
        kept = torch.float32 if target.type == "cpu" and model.dtype in HALF else model.dtype
        model = model.to(target, kept).eval().requires_grad_(requires_grad=False)
        if target.type == "cpu":
            turn_weights(model)
        return cls(model, signature)

    def run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for name in self.floats:
            inputs[name] = inputs[name].to(self.module.dtype)
        answer = self.module(**inputs, **self.extra, return_dict=True)
        return {name: answer[name] for name in self.names}


def options(kind: Any, weights: Collection[str]) -> dict[str, bool]:
    """Without a pooling layer where the files have none: encoders are often published so."""
    optional = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return {"add_pooling_layer": False} if optional and not any("pooler." in name for name in weights) else {}


def build(kind: Any, config: Any, weights: dict[str, torch.Tensor]) -> torch.nn.Module | None:
    """The model with `weights` as they lie in the file, or None where names differ and must be translated."""
    from transformers.initialization import no_init_weights

    dtype = next((tensor.dtype for tensor in weights.values() if tensor.is_floating_point()), torch.float32)
    with no_init_weights():
        model = kind._from_config(config, dtype=dtype, **options(kind, weights))
    expected = model.state_dict()
    ties = set(getattr(model, "_tied_weights_keys", None) or ())
    if not expected.keys() - ties <= weights.keys() or any(
        weights[name].shape != tensor.shape for name, tensor in expected.items() if name in weights
    ):
        return None
    model.load_state_dict({n: t for n, t in weights.items() if n in expected}, strict=False, assign=True)
    model.tie_weights()
    return model


def load_anyhow(kind: Any, config: Any, folder: Path, more: dict[str, bool]) -> torch.nn.Module:
    """transformers' own loading, which knows old names of weights; a weight that is still missing is refused."""
    try:
        model, report = kind.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype="auto", output_loading_info=True, **more,
        )  # fmt: skip
    except Exception as error:  # anything at all, for files that do not fit
        raise CorruptArtifact(f"The weights do not fit {kind.__name__}: {str(error).splitlines()[0]}") from error
    if report["missing_keys"]:
        names = ", ".join(sorted(report["missing_keys"])[:5])
        raise CorruptArtifact(
            f"The files lack {len(report['missing_keys'])} weights of {kind.__name__}, such as {names}. "
            "Upload every *.safetensors of the model."
        )
    return model


def weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        names = set(read_json(folder / INDEX).get("weight_map", {}).values())
        if any(not isinstance(name, str) or "/" in name or not name.endswith(".safetensors") for name in names):
            raise UnsafeArtifact(f"{INDEX} names a file that is not a *.safetensors of the same folder.")
        return [folder / name for name in sorted(names)]
    return [folder / SINGLE]


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the folder's weight files, memory-mapped."""
    weights: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                weights.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except FileNotFoundError:
            raise CorruptArtifact(f"The folder has no {path.name}. Upload every *.safetensors of the model.") from None
        except (SafetensorError, OSError) as error:
            raise CorruptArtifact(f"{path.name} is not a whole safetensors file: {error}.") from None
    return weights


def has_key(value: Any, key: str) -> bool:
    """Whether `key` stands anywhere in a JSON value: models made of several keep a configuration for each."""
    if isinstance(value, dict):
        return key in value or any(has_key(inner, key) for inner in value.values())
    return isinstance(value, list) and any(has_key(inner, key) for inner in value)


def model_class(folder: Path) -> tuple[Any, Any]:
    """The transformers class that runs this folder, and its configuration. Raises for what needs code of its own."""
    for name in (CONFIG, "tokenizer_config.json", "preprocessor_config.json"):
        if (folder / name).is_file() and has_key(read_json(folder / name), "auto_map"):
            raise UnsafeArtifact(
                f"{name} asks for code of its own (auto_map). Only architectures that transformers itself has are run: "
                "export the model to ONNX instead."
            )
    if (folder / "adapter_config.json").is_file():
        raise UnsupportedFormat("This is an adapter without its base model. Merge it into the base and upload that.")
    settings = read_json(folder / CONFIG)
    if "quantization_config" in settings:
        raise UnsupportedFormat("Quantized safetensors are not served. Upload the weights in float32, 16 or bfloat16.")
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if settings.get("model_type") not in CONFIG_MAPPING:
        raise UnsupportedFormat(
            f"transformers {transformers.__version__} knows no model type {settings.get('model_type')!r}. Export the "
            "model to ONNX, or use a newer transformers."
        )
    # How attention is calculated is our choice: a file could name a kernel that would be fetched and run.
    settings = {name: value for name, value in settings.items() if not name.strip("_").startswith(OWN_CHOICES)}
    try:
        config = CONFIG_MAPPING[settings["model_type"]].from_dict(settings)
    except Exception as error:  # each configuration class checks itself in its own way
        raise CorruptArtifact(f"config.json is not valid for {settings['model_type']}: {error}") from error
    # A sentence-transformers folder wants the bare encoder, whatever head it was once trained with.
    architectures = [] if (folder / "modules.json").is_file() else settings.get("architectures") or []
    kind = getattr(transformers, str(architectures[0]), None) if architectures else None
    if not (inspect.isclass(kind) and issubclass(kind, transformers.PreTrainedModel)):
        kind = MODEL_MAPPING.get(type(config), None)
    if kind is None:
        raise UnsupportedFormat(f"transformers has no model for {settings['model_type']!r}. Export it to ONNX.")
    return kind, config
