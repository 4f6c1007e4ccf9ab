"""Who acts: a person, an API key, or the system itself. Services take an actor; `User` and `ApiKey` are actors."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from console.lib.rights import EVERY_RIGHT


class Actor(Protocol):
    @property
    def actor_kind(self) -> str: ...  # user | key | system

    @property
    def actor_id(self) -> str: ...

    @property
    def actor_name(self) -> str: ...

    @property
    def rights(self) -> frozenset[str]: ...

    @property
    def person(self) -> Any:
        """The `User` behind it, for foreign keys, or None."""


class SystemActor:
    """A program of ours at work without a person: seeds, migrations, the monitor."""

    actor_kind = "system"
    actor_id = ""
    rights = EVERY_RIGHT
    person = None

    def __init__(self, name: str):
        self.actor_name = name


SYSTEM = SystemActor("system")

# The id of the request in hand, for logs, audit rows and problem documents.
request_id: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def bind_request_id(value: str) -> Iterator[None]:
    token = request_id.set(value)
    try:
        yield
    finally:
        request_id.reset(token)


def actor_of(request: Any) -> Actor:
    """Who acts in this request, for an edge that permission has already been checked for."""
    actor: Actor = request.user
    return actor
