"""Optimistic locking over HTTP: a strong ETag of the row version out, If-Match or If-None-Match in.

A number and not a time: the clocks of two instances differ.
"""

from collections.abc import Callable
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.errors import PreconditionMissing, StaleWrite


def etag_of(kind: str, key: object, row_version: int) -> str:
    """`"model-minilm-17"`, with its quotes."""
    return f'"{kind}-{key}-{row_version}"'


def check_match(request: Request, etag: str, current: Callable[[], Any]) -> None:
    """A change must name the state that it is based on: without If-Match 428, with another's 412 and what is so now."""
    given = request.headers.get("If-Match")
    if given is None:
        raise PreconditionMissing(f"Send If-Match with the ETag of what you read; it is {etag} now.")
    if given.strip() != "*" and etag not in read_etags(given):
        raise StaleWrite(f"It was changed since you read it: If-Match says {given}, it is {etag} now.", current())


def with_etag(request: Request, response: Response, etag: str) -> Response:
    """Put the ETag on an answer; a GET whose If-None-Match has it becomes 304 without a body."""
    given = request.headers.get("If-None-Match")
    if given and request.method in ("GET", "HEAD") and (given.strip() == "*" or etag in read_etags(given)):
        response = Response(status=304)
    response["ETag"] = etag
    return response


def read_etags(header: str) -> set[str]:
    """A proxy that compressed the answer weakened our tag with W/; the row version in it is still the one it says."""
    return {part.strip().removeprefix("W/") for part in header.split(",")}
