"""ASGI: bounds the size of a request's body and the time it may take to arrive.

Django reads the whole body to memory or disk before any view or permission runs, so without this anybody could fill
the disk. Files come in chunks of at most `UPLOAD_CHUNK_BYTES`; nothing here is larger.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]  # Django and Channels each type messages in their own way


class BodyRefused(Exception):
    def __init__(self, status: int, code: str, detail: str):
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class BodyLimit:
    def __init__(self, app: App, max_bytes: int, timeout_s: float):
        self.app, self.max_bytes, self.timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            self.check_length(scope)
            await self.app(scope, self.bounded(receive), send)
        except BodyRefused as refused:
            await answer(send, scope["path"], refused)

    def check_length(self, scope: Scope) -> None:
        given = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if given.isdigit() and int(given) > self.max_bytes:
            raise self.too_large()

    def bounded(self, receive: Receive) -> Receive:
        received = 0
        complete = False
        deadline = asyncio.get_running_loop().time() + self.timeout_s

        async def receive_bounded() -> Message:
            nonlocal received, complete
            if complete:  # what comes now is the disconnect, which may be long away
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                detail = f"The body did not arrive within {self.timeout_s:.0f} s. Send files in smaller chunks."
                raise BodyRefused(408, "slow_client", detail) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.max_bytes:
                raise self.too_large()
            return message

        return receive_bounded

    def too_large(self) -> BodyRefused:
        detail = f"A body holds at most {self.max_bytes} bytes. Send files in chunks to /api/v1/uploads/."
        return BodyRefused(413, "too_large", detail)


async def answer(send: Send, path: str, refused: BodyRefused) -> None:
    """Only before the application answered: it reads the whole body first, so nothing was sent yet."""
    body = json.dumps(
        {
            "type": f"urn:switchyard:problem:{refused.code}", "title": "Body refused", "status": refused.status,
            "code": refused.code, "detail": refused.detail, "instance": path,
        }
    ).encode()  # fmt: skip
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the body is not read
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
