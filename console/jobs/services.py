"""Starting, watching and ending long work. A start joins its caller's transaction: both happen or neither."""

from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from console.accounts.services import record
from console.jobs import selectors
from console.jobs.choices import OperationKind, OperationState
from console.jobs.demo import find_made_by, make_demo_version
from console.jobs.models import Operation
from console.jobs.queue import enqueue
from console.jobs.works import give_up
from console.lib.actors import SYSTEM, Actor
from console.lib.errors import Conflict, Invalid, InvalidTransition
from console.registry import services as registry
from console.registry.choices import Format, Source, VersionState
from console.registry.models import Model, Upload, Version
from console.registry.programs import unheard
from console.serving import services as serving

MAX_RATE_PER_S = 50.0
MAX_TRAFFIC_S = 180.0
DEMO_RECIPES = ("minilm-v1", "digits-v1", "minilm-v2")  # in the order a newcomer wants them


@transaction.atomic
def start_operation(
    kind: OperationKind, subject: str, arguments: dict[str, Any], *, actor: Actor, max_attempts: int = 2
) -> Operation:
    operation = Operation.objects.create(
        kind=kind, subject=subject, arguments=arguments, max_attempts=max_attempts, created_by=actor.actor_name
    )
    enqueue(operation)
    return operation


@transaction.atomic
def cancel_operation(*, operation: Operation, actor: Actor) -> Operation:
    """Queued work is cancelled at once; work in hand stops at its next step. Twice is once."""
    if operation.ended:
        raise InvalidTransition(f"The operation has ended: {operation.get_state_display().lower()}.")
    if operation.cancel_requested:
        return operation
    queued = Operation.objects.filter(pk=operation.pk, state=OperationState.QUEUED).update(
        state=OperationState.CANCELLED,
        cancel_requested=True,
        message="Cancelled before it began",
        finished_at=timezone.now(),
        row_version=F("row_version") + 1,
    )
    if queued:
        give_up(operation, "Cancelled before it began.")
    else:
        Operation.objects.filter(pk=operation.pk).update(cancel_requested=True, row_version=F("row_version") + 1)
    record(actor, "operation.cancel", f"operation/{operation.pk}", before={"kind": operation.kind})
    operation.refresh_from_db()
    return operation


def complete_upload(*, upload: Upload, actor: Actor) -> tuple[Version, Operation]:
    """Make the upload a version and start its validation. Asked again, it says what the first call started."""
    registry.check_whole(upload)
    with transaction.atomic():
        version = registry.make_version(upload=upload, actor=actor)
        return version, begin_validation(version, actor)


def begin_validation(version: Version, actor: Actor) -> Operation:
    """The validation that is under way for a version, or a new one."""
    subject = f"{version.model.name}/{version.number}"
    known = selectors.open_operation(OperationKind.VALIDATE, subject)
    if known is not None:
        return known
    if version.state not in (VersionState.UPLOADED, VersionState.VALIDATING):
        last = selectors.list_operations(kind=OperationKind.VALIDATE, subject=subject).first()
        if last is None:
            raise InvalidTransition(f"{version} is {version.get_state_display().lower()} already.")
        return last
    return start_operation(OperationKind.VALIDATE, subject, {"version": version.pk}, actor=actor)


def verify_version(*, version: Version, actor: Actor) -> Operation:
    """Validate a version that is still to be validated, or check the stored files of one that was."""
    if version.state in (VersionState.UPLOADED, VersionState.VALIDATING):
        return begin_validation(version, actor)
    if version.artifact is None:
        raise InvalidTransition(f"{version} was refused and has no stored files to verify. Upload it again.")
    subject = f"{version.model.name}/{version.number}"
    known = selectors.open_operation(OperationKind.VERIFY, subject)
    return known or start_operation(OperationKind.VERIFY, subject, {"version": version.pk}, actor=actor)


@transaction.atomic
def export_version(*, version: Version, actor: Actor) -> Operation:
    """Make a new version: this one's model as an ONNX graph, checked to answer alike."""
    if version.format != Format.SAFETENSORS:
        raise Invalid(f"{version} is {version.get_format_display()}; only a safetensors version can be exported.")
    if version.state != VersionState.READY:
        raise InvalidTransition(f"{version} is {version.get_state_display().lower()}; export a ready version.")
    subject = f"{version.model.name}/{version.number}"
    if known := selectors.open_operation(OperationKind.EXPORT, subject):
        raise Conflict(f"{version} is being exported already: operation {known.pk}.")
    made = registry.add_version(
        model=version.model, format=Format.ONNX, actor=actor, source=Source.EXPORT, parent=version,
        notes=f"Exported from version {version.number}",
    )  # fmt: skip
    return start_operation(
        OperationKind.EXPORT, subject, {"source": version.pk, "version": made.pk}, actor=actor, max_attempts=1
    )


@transaction.atomic
def start_demo_traffic(*, model: Model, rate_per_s: float, seconds: float, actor: Actor) -> Operation:
    """Send samples to one model through the gateway, bounded in rate and time; it stops by itself."""
    if not 0 < rate_per_s <= MAX_RATE_PER_S:
        raise Invalid.field("rate_per_s", f"The rate lies above 0 and up to {MAX_RATE_PER_S:g} requests/s.")
    if not 0 < seconds <= MAX_TRAFFIC_S:
        raise Invalid.field("seconds", f"The time lies above 0 and up to {MAX_TRAFFIC_S:g} s.")
    for known in selectors.list_operations(kind=OperationKind.TRAFFIC, open_only=True):
        raise InvalidTransition(f"Demo traffic runs already, to {known.subject}. Stop it first.", ("stop",))
    record(actor, "demo.traffic", model, after={"rate_per_s": rate_per_s, "seconds": seconds})
    arguments = {"model": model.name, "rate_per_s": rate_per_s, "seconds": seconds}
    return start_operation(OperationKind.TRAFFIC, model.name, arguments, actor=actor, max_attempts=1)


def stop_demo_traffic(*, actor: Actor) -> Operation | None:
    """End the run that is at work, if one is."""
    running = selectors.list_operations(kind=OperationKind.TRAFFIC, open_only=True).first()
    return cancel_operation(operation=running, actor=actor) if running else None


def start_demo(*, actor: Actor, recipes: tuple[str, ...] = DEMO_RECIPES) -> list[Operation]:
    """Make the demo models that are not there yet, each as work of its own. Twice is once."""
    started = []
    for recipe in recipes:
        if find_made_by(recipe) is not None:
            continue
        with transaction.atomic():
            known = selectors.open_operation(OperationKind.DEMO, recipe)
            started.append(known or start_operation(OperationKind.DEMO, recipe, {"recipe": recipe}, actor=actor))
    return started


def remove_demo(*, actor: Actor) -> list[str]:
    """End what makes or calls demo models, then remove them. Returns their names."""
    for kind in (OperationKind.DEMO, OperationKind.TRAFFIC):
        for operation in selectors.list_operations(kind=kind, open_only=True):
            cancel_operation(operation=operation, actor=actor)
    return serving.delete_demo_models(actor=actor)


def seed_demo(*, only: str | None = None) -> str:
    """Make one demo version here and now, for a start that waits for it, and queue the others. Says what it did."""
    said = []
    if only:
        version = make_demo_version(only, unheard, inspected=False)
        said.append(f"{version} {version.get_state_display().lower()}")
    others = tuple(recipe for recipe in DEMO_RECIPES if recipe != only)
    started = [operation for operation in start_demo(actor=SYSTEM, recipes=others) if not operation.ended]
    if started:
        said.append(f"{', '.join(operation.subject for operation in started)} follow")
    return "; ".join(said)
