"""One stored file as an answer, whole or in one range (RFC 9110), so that a cut download goes on where it stopped."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.http import FileResponse, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header
from rest_framework.request import Request

from console.lib.errors import Missing

RANGE = re.compile(r"^bytes=(\d{0,19})-(\d{0,19})$")
PIECE_BYTES = 256 * 1024


def ranged_file(request: Request, path: Path, name: str, etag: str) -> HttpResponseBase:
    """Several ranges at once are answered whole, as the RFC allows."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise Missing("The file is gone from the store. Verify the version to see what else is.") from None
    span = read_range(request.headers.get("Range", ""), size)
    if request.headers.get("If-Range", etag) != etag:
        span = None
    if span == ():
        response: HttpResponseBase = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    elif span:
        first, last = span
        response = StreamingHttpResponse(
            read_span(path, first, last), status=206, content_type="application/octet-stream"
        )
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
        response["Content-Length"] = str(last - first + 1)
    else:
        response = FileResponse(path.open("rb"), content_type="application/octet-stream")
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = etag
    response["Content-Disposition"] = str(content_disposition_header(True, name))  # noqa: FBT003  as an attachment
    return response


def read_range(header: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """(first, last); () for a range that lies outside; None for no range, or one that we do not cut."""
    found = RANGE.match(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:  # the last so many bytes
        return (max(0, size - int(last)), size - 1) if int(last) and size else ()
    if int(first) >= size or (last and int(last) < int(first)):
        return ()
    return int(first), min(int(last), size - 1) if last else size - 1


def read_span(path: Path, first: int, last: int) -> Iterator[bytes]:
    left = last - first + 1
    with path.open("rb") as file:
        file.seek(first)
        while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
