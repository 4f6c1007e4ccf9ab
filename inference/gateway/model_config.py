"""A version's configuration in Triton's terms, as far as it has such a thing; nothing that is not so."""

from typing import Any

from inference.gateway.catalog import PLATFORM
from inference.gateway.dataplane import Dataplane
from inference.gateway.keys import require_model, require_scope
from inference.policy.batching import DEFAULT_LEVEL, PRIORITY_LEVELS
from inference.policy.units import unit_stages
from inference.spec import ApiKey, StageKind, TensorSpec, Unit, Version

Facts = dict[str, Any]


def describe_config(dataplane: Dataplane, principal: ApiKey, model: str, version: str) -> Facts:
    """Raises Refused and NotFound kinds."""
    require_scope(principal, "infer", "read")
    require_model(principal, model)
    _, meant = dataplane.version_for(model, version)
    unit = model_unit(meant)
    return {
        "name": model,
        "platform": PLATFORM[meant.format],
        "backend": PLATFORM[meant.format].partition("_")[0],
        "version_policy": {"specific": {"versions": [meant.number]}},
        "max_batch_size": min(unit.batch.max_size for unit in meant.units),
        "input": [describe_tensor(tensor) for tensor in meant.signature.inputs],
        "output": [describe_tensor(tensor) for tensor in meant.signature.outputs],
        "dynamic_batching": {
            "preferred_batch_size": [],
            "max_queue_delay_microseconds": int(unit.batch.max_wait_s * 1e6),
            "preserve_ordering": False,
            "priority_levels": PRIORITY_LEVELS,
            "default_priority_level": DEFAULT_LEVEL,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": int(unit.queue.timeout_s * 1e6),
                "allow_timeout_override": True,
                "max_queue_size": unit.queue.max_requests,
            },
        },
        "instance_group": [describe_instances(dataplane, model, meant, unit) for unit in meant.units],
        "parameters": {},
    }


def model_unit(version: Version) -> Unit:
    """The unit that runs the model; its queue is the one that fills."""
    return next(
        (unit for unit in version.units if any(s.kind is StageKind.INFER for s in unit_stages(version, unit))),
        version.units[0],
    )


def describe_tensor(tensor: TensorSpec) -> Facts:
    """`dims` leave out the batch, as Triton's do where `max_batch_size` is above 0."""
    kind = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return {"name": tensor.name, "data_type": f"TYPE_{kind}", "dims": list(tensor.shape[1:])}


def describe_instances(dataplane: Dataplane, model: str, version: Version, unit: Unit) -> Facts:
    """The replicas that this gateway can reach now."""
    queue = dataplane.dispatcher.queues.get(model, {}).get((version.number, version.digest, unit.name))
    slots = queue.slots if queue is not None else []
    on_gpu = any(slot.on_cuda for slot in slots)
    return {"name": unit.name, "kind": "KIND_GPU" if on_gpu else "KIND_CPU", "count": len(slots)}
