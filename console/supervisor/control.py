"""How a second `up` speaks to the first: one JSON line each way over `<data>/run/up.sock` (0600).

{"do": "stop", "name": "console"}  hold a program down        {"do": "start", "name": "console"}  let it go
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

MAX_LINE = 4096
Act = Callable[[str, str], Awaitable[str]]


async def serve_control(path: Path, act: Act) -> asyncio.Server:
    """Answer requests with `act(verb, name)`, whose KeyError or ValueError is the caller's mistake."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 once, at the start

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = json.loads(await asyncio.wait_for(reader.readline(), 5))
            reply = {"ok": await act(str(asked["do"]), str(asked["name"]))}
        except (KeyError, ValueError, TypeError, TimeoutError) as error:
            reply = {"error": str(error)}
        writer.write(json.dumps(reply).encode() + b"\n")
        writer.close()

    server = await asyncio.start_unix_server(answer, str(path), limit=MAX_LINE)
    os.chmod(path, 0o600)  # noqa: PTH101
    return server


def ask(path: Path, verb: str, name: str, timeout_s: float = 60.0) -> dict[str, str]:
    """Send one request to the running `up`. Raises OSError when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(json.dumps({"do": verb, "name": name}).encode() + b"\n")
        with connection.makefile("rb") as answer:
            return dict(json.loads(answer.readline(MAX_LINE)))
