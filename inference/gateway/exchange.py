"""What an HTTP connection and an application say to each other."""

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from inference.errors import SwitchyardError


class Head:
    """What comes before a body. Header names are lower-case bytes; a repeated header is one with commas.

    Clients that keep a connection send the same head again and again: one object may serve many requests (see
    `known_heads`), so an application that worked something out from a head alone may leave it here.
    """

    __slots__ = (
        "body_bytes",
        "headers",
        "http_1_0",
        "keep_alive",
        "method",
        "parts",
        "pass_number",
        "principal",
        "target",
        "url",
    )

    def __init__(self, url: bytes = b""):
        self.url = url
        self.method = b""
        self.headers: dict[bytes, bytes] = {}
        self.http_1_0 = False
        self.keep_alive = True
        self.body_bytes = 0  # by Content-Length
        self.parts: list[str] = []  # of the path; this and what follows is for the application to fill in
        self.principal: Any = None
        self.pass_number = 0  # of the list of keys by which it was let in
        self.target: Any = None  # where its requests go

    def add_header(self, name: bytes, value: bytes) -> None:
        held = self.headers.get(name)
        self.headers[name] = value if held is None else held + b", " + value


class Request:
    __slots__ = ("arrived_s", "body", "head", "keep_alive")

    def __init__(self, head: Head, body: bytes | memoryview, arrived_s: float):
        self.head = head
        self.body = body
        self.arrived_s = arrived_s  # monotonic, when the body was whole
        self.keep_alive = head.keep_alive

    @property
    def method(self) -> bytes:
        return self.head.method

    @property
    def url(self) -> bytes:
        return self.head.url

    @property
    def headers(self) -> dict[bytes, bytes]:
        return self.head.headers

    @property
    def parts(self) -> list[str]:
        return self.head.parts


class Response(Struct):
    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: bytes = b""  # more lines, each with its end
    tail: tuple[bytes | memoryview, ...] = ()  # more of the body: large tensors, written from where they lie


Respond = Callable[[Response], None]


class Running(Protocol):
    def cancel(self) -> object: ...


class Application(Protocol):
    def admit(self, head: Head) -> None:
        """Look at the head before the body is read. Raises SwitchyardError to refuse it."""

    def still_admits(self, head: Head) -> bool:
        """Whether a head that was let in once would be let in as it was; where not, `admit` is asked anew."""

    def handle(self, request: Request, respond: Respond) -> Running | None:
        """Answer by `respond`, at once or later; what is returned is cancelled when the client hangs up."""

    def refusal(self, error: SwitchyardError, head: Head | None) -> Response:
        """The answer to a request that could not be read, as far as it was."""
