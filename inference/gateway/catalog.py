"""What the gateway says of itself and its models, whatever edge asks."""

from msgspec import Struct

from inference.gateway.dataplane import Dataplane
from inference.gateway.keys import require_model, require_scope
from inference.spec import ApiKey, Format, Signature

SERVER = "switchyard"
EXTENSIONS = ("classification", "model_configuration", "parameters", "schedule_policy", "statistics")
REPOSITORY = "model_repository"  # where somebody could load and unload
PLATFORM = {
    Format.SAFETENSORS: "pytorch_safetensors",
    Format.ONNX: "onnxruntime_onnx",
    Format.PT2: "pytorch_pt2",
    Format.TORCHSCRIPT: "pytorch_torchscript",
}


class Description(Struct):
    versions: list[str]
    platform: str
    signature: Signature


def describe_model(dataplane: Dataplane, principal: ApiKey, model: str, version: str) -> Description:
    """A version of a model that this key may see: its number or alias, or the one with the most traffic."""
    require_scope(principal, "infer", "read")
    require_model(principal, model)
    table, meant = dataplane.version_for(model, version)
    return Description([str(number) for number in sorted(table.versions)], PLATFORM[meant.format], meant.signature)
