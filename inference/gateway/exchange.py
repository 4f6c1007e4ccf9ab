"""What an HTTP connection and an application say to each other."""

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from inference.errors import SwitchyardError


class Request:
    """One parsed request. Header names are lower-case bytes; a repeated header is one with commas."""

    __slots__ = ("arrived_s", "body", "headers", "http_1_0", "keep_alive", "method", "parts", "principal", "url")

    def __init__(self, url: bytes):
        self.url = url
        self.method = b""
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.http_1_0 = False
        self.keep_alive = True
        self.arrived_s = 0.0
        self.parts: list[str] = []  # of the path, for the application to fill in
        self.principal: Any = None

    def add_header(self, name: bytes, value: bytes) -> None:
        held = self.headers.get(name)
        self.headers[name] = value if held is None else held + b", " + value


class Response(Struct):
    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: bytes = b""  # more lines, each with its end


class Running(Protocol):
    def cancel(self) -> object: ...


class Application(Protocol):
    def admit(self, request: Request) -> None:
        """Look at the head before the body is read. Raises SwitchyardError to refuse it."""

    def handle(self, request: Request, respond: Callable[[Response], None]) -> Running | None:
        """Answer by `respond`, at once or later; what is returned is cancelled when the client hangs up."""

    def refusal(self, error: SwitchyardError, request: Request | None) -> Response:
        """The answer to a request that could not be read, as far as it was."""
