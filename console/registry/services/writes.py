"""What every write of these apps shares: compare-and-set, and the mark that publishes a model."""

from typing import Any

from django.db.models import F
from django.utils import timezone

from console.lib import outbox
from console.lib.errors import Conflict, Invalid, InvalidTransition, StaleWrite
from console.registry.choices import VersionState
from console.registry.models import Model, Version


def advance(row: Any, seen: int, **changes: Any) -> None:
    """Compare-and-set: write `changes` if the row is still at `seen`, else StaleWrite. Brings `row` up to date."""
    values: dict[str, Any] = {**changes, "row_version": F("row_version") + 1}
    if any(field.name == "updated_at" for field in row._meta.fields):
        values["updated_at"] = timezone.now()
    if type(row)._default_manager.filter(pk=row.pk, row_version=seen).update(**values) != 1:
        raise StaleWrite(f"{row} was changed meanwhile; reload to see what it is now.")
    row.refresh_from_db()


def mark_spec(model: Model) -> None:
    """Within a transaction, after its `record()`."""
    outbox.mark("spec", model.name)


def check_assignable(model: Model, version: Version) -> None:
    """Only what can be loaded can be named or given traffic."""
    if version.model_id != model.pk:
        raise Invalid.field("version", f"{version} belongs to another model.")
    if model.archived_at is not None:
        raise InvalidTransition(f"Model {model.name!r} is archived. Restore it first.", ("restore",))
    if version.state != VersionState.READY:
        raise Conflict(
            f"{version} is {version.get_state_display().lower()}, so it cannot be loaded. Choose a ready one."
        )
