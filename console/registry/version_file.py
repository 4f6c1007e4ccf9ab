"""`version.json`, the optional description that lies beside a version's files: stages, units, signature.

It is read as strictly as the documents between programs: an unknown field is an error with its path, not a guess.
Without it a version has the stages that its files call for.
"""

from pathlib import Path

import msgspec

from console.lib.errors import Invalid
from inference import spec
from inference.errors import BadDocument
from inference.policy.acceleration import check_acceleration
from inference.policy.units import check_units

NAME = "version.json"
MAX_BYTES = 256 * 1024
MAX_STAGES = 16
NO_DIGEST = "0" * 64


class VersionFile(spec.Document, frozen=True, kw_only=True):
    format: spec.Format | None = None
    signature: spec.Signature | None = None
    stages: tuple[spec.Stage, ...] = ()
    units: tuple[spec.Unit, ...] = ()


class Plan(spec.Document, frozen=True, kw_only=True):
    """What a version will be: as it was given, completed by what the files declare."""

    signature: spec.Signature
    stages: tuple[spec.Stage, ...]
    units: tuple[spec.Unit, ...]


class BadVersionFile(Invalid):
    code = "version_file_invalid"


def read_version_file(path: Path) -> VersionFile:
    """An absent file is an empty description."""
    if not path.exists():
        return VersionFile()
    if path.stat().st_size > MAX_BYTES:
        raise BadVersionFile(f"{NAME} is larger than {MAX_BYTES} bytes.")
    try:
        return spec.decode(path.read_bytes(), VersionFile)
    except BadDocument as error:
        raise BadVersionFile(f"{NAME}: {error}") from error


class Declared(spec.Document, frozen=True, kw_only=True):
    """What the files say of themselves, as `inference inspect` reads them."""

    signature: spec.Signature
    stages: tuple[spec.Stage, ...]

    def infer_signature(self) -> spec.Signature:
        return next(stage.signature for stage in self.stages if stage.kind is spec.StageKind.INFER)


def complete(given: VersionFile, declared: Declared | None) -> Plan:
    """Fill what was not given from what the files declare, and check that it all fits together.

    `declared` None: the files were made here, by a recipe that describes them whole.
    """
    if len(given.stages) > MAX_STAGES:
        raise BadVersionFile(f"A version has at most {MAX_STAGES} stages; {NAME} has {len(given.stages)}.")
    if given.stages:
        if given.signature is None:
            raise BadVersionFile(f"{NAME} has stages of its own, so it must give the version's signature too.")
        signature, stages = given.signature, given.stages
    elif declared is not None:
        signature, stages = declared.signature, declared.stages
    else:
        raise BadVersionFile(f"{NAME} gives no stages.")
    units = given.units or (spec.Unit(name="main", stages=tuple(stage.name for stage in stages)),)
    plan = Plan(signature=signature, stages=stages, units=units)
    check_plan(plan, declared)
    return plan


def check_plan(plan: Plan, declared: Declared | None) -> None:
    infer = [stage for stage in plan.stages if stage.kind is spec.StageKind.INFER]
    if len(infer) != 1:
        raise BadVersionFile(f"A version has exactly one 'infer' stage; this one has {len(infer)}.")
    for stage in plan.stages:
        if stage.kind is not spec.StageKind.INFER and not stage.use:
            raise BadVersionFile(f"Stage {stage.name!r} names no processor: say which with 'use'.")
    if declared is not None:
        check_against_file(infer[0], declared.infer_signature())
    if not plan.signature.inputs or not plan.signature.outputs:
        raise BadVersionFile("A signature needs at least one input and one output.")
    for tensor in (*plan.signature.inputs, *plan.signature.outputs):
        if not tensor.shape or tensor.shape[0] != -1:
            raise BadVersionFile(f"{tensor.name!r} has shape {list(tensor.shape)}: axis 0 is the batch, always -1.")
    try:
        check_units(as_version(plan))
        check_acceleration(as_version(plan))
    except BadDocument as error:
        raise BadVersionFile(str(error)) from error


def check_against_file(stage: spec.Stage, declared: spec.Signature) -> None:
    """The infer stage may use less than the file offers, never what it lacks."""
    for side, wanted, offered in (
        ("takes", stage.signature.inputs, declared.inputs),
        ("gives", stage.signature.outputs, declared.outputs),
    ):
        known = {tensor.name: tensor for tensor in offered}
        for tensor in wanted:
            if tensor.name not in known:
                raise BadVersionFile(
                    f"Stage {stage.name!r} {side} {tensor.name!r}; the file {side} {', '.join(known) or 'nothing'}."
                )
            if tensor.datatype != known[tensor.name].datatype:
                raise BadVersionFile(
                    f"Stage {stage.name!r} {side} {tensor.name!r} as {tensor.datatype}; "
                    f"in the file it is {known[tensor.name].datatype}."
                )


def signature_for_inspection(given: VersionFile) -> spec.Signature | None:
    """What the infer stage takes and gives, for formats that do not say it themselves."""
    for stage in given.stages:
        if stage.kind is spec.StageKind.INFER:
            return stage.signature
    return given.signature


def as_version(plan: Plan) -> spec.Version:
    """The plan as a version without files, for the checks that both halves share."""
    return spec.Version(
        number=1,
        digest=NO_DIGEST,
        format=spec.Format.SAFETENSORS,
        artifact=spec.Artifact(digest=NO_DIGEST, files=(), store=""),
        signature=plan.signature,
        stages=plan.stages,
        units=plan.units,
    )


def as_rows(plan: Plan) -> dict[str, object]:
    """The plan as columns of a Version row."""
    return {
        "signature": msgspec.to_builtins(plan.signature),
        "stages": msgspec.to_builtins(plan.stages),
        "units": msgspec.to_builtins(plan.units),
    }
