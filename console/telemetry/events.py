"""Events: the data plane's stream mirrored to the database, each once however often it is read."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from console.telemetry.models import Event
from console.telemetry.rollups import order_of
from inference import status


def last_event_id() -> str:
    """Where the mirror goes on; stream ids sort as numbers, not as text."""
    newest = Event.objects.order_by("-pk").values_list("stream_id", flat=True)[:50]
    return max(newest, key=order_of, default="0-0")


def record_events(read: Iterable[tuple[str, status.Event]]) -> list[Event]:
    """Store what is new, oldest first, and return it."""
    by_id = dict(read)
    known = set(Event.objects.filter(stream_id__in=by_id).values_list("stream_id", flat=True))
    fresh = [
        Event(
            stream_id=stream_id,
            at=datetime.fromtimestamp(event.at_s, UTC),
            kind=event.kind[:63],
            subject=event.subject[:200],
            message=event.message[:1000],
            level=event.level[:8],
        )
        for stream_id, event in by_id.items()
        if stream_id not in known
    ]
    return Event.objects.bulk_create(fresh)


def event_data(event: Event) -> dict[str, Any]:
    """As the socket and the API show it."""
    return {
        "rev": event.pk,
        "type": event.kind,
        "at": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "subject": event.subject,
        "data": {"message": event.message, "level": event.level},
    }


decode_event = msgspec.json.Decoder(status.Event).decode
