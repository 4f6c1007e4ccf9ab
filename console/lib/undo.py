"""The way back from an act that can be undone: the form that does the opposite, offered beside "Done." for a while.

It names the row version that the act left, so it undoes that act alone: after another change it is refused as stale.
"""

import json
from dataclasses import asdict, dataclass, field

from django.contrib.messages.storage.base import Message


@dataclass(frozen=True)
class Undo:
    action: str  # where the form posts to
    fields: dict[str, str | int | float] = field(default_factory=dict)

    def pack(self) -> str:
        """As text: what a flash message can carry to the next page."""
        return json.dumps(asdict(self))


def undo_of(message: Message) -> Undo | None:
    """None for a message without a way back; those of libraries may carry tags of their own."""
    packed = message.extra_tags or ""
    return Undo(**json.loads(packed)) if packed.startswith("{") else None
