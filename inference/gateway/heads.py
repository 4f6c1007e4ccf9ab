"""HTTP heads: a request's, checked before anything is done with it; an answer's, written."""

from http import HTTPStatus

from inference.config import Config
from inference.errors import BadInput, HeadTooLarge, TooLarge, UnsupportedFeature
from inference.gateway.exchange import Head, Response

REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
MAX_HEADER_LINES = 100  # as Apache and Envoy have it: a head of 32 KB can be five thousand, milliseconds of work
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE, KEEP_ALIVE = b"connection: close\r\n", b"connection: keep-alive\r\n"


def check_head(head: Head, size_bytes: int, config: Config) -> None:
    """Raise SwitchyardError for a head that must not be acted on."""
    headers = head.headers
    check_head_size(size_bytes, config)
    if b"host" not in headers and not head.http_1_0:
        raise BadInput("An HTTP/1.1 request needs the header Host.")
    if b"transfer-encoding" in headers:
        if b"content-length" in headers:  # the parser refuses it too; this must never depend on its version
            raise BadInput("Content-Length and Transfer-Encoding exclude each other; send one of them.")
        if headers[b"transfer-encoding"].lower() != b"chunked" or head.http_1_0:
            raise UnsupportedFeature("The only transfer coding here is 'chunked', in HTTP/1.1.")
    elif b"content-length" in headers:
        check_body_size(int(headers[b"content-length"]), config)


def refuse_body(head: Head) -> None:
    """For what anybody may ask: who shows no key sends us nothing to keep. Raises BadInput."""
    headers = head.headers
    if b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0"):
        raise BadInput("This takes no body.")


def check_head_size(size_bytes: int, config: Config) -> None:
    if size_bytes > config.max_header_bytes:
        raise head_too_large(config)


def head_too_large(config: Config) -> HeadTooLarge:
    return HeadTooLarge(
        f"The request head is larger than {config.max_header_bytes} bytes or {MAX_HEADER_LINES} lines, or what frames "
        "the body is."
    )


def check_body_size(size_bytes: int, config: Config) -> None:
    if size_bytes > config.max_body_bytes:
        raise TooLarge(f"The body is larger than {config.max_body_bytes} bytes, the most that is taken here.")


def expects_continue(head: Head) -> bool:
    return head.headers.get(b"expect", b"").lower() == b"100-continue" and not head.http_1_0


def render_head(response: Response, date: bytes, keep_alive: bool, http_1_0: bool) -> bytes:
    connection = CLOSE if not keep_alive else KEEP_ALIVE if http_1_0 else b""
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b%b\r\n" % (
        REASONS[response.status],
        response.content_type,
        len(response.body) + (sum(map(len, response.tail)) if response.tail else 0),
        date,
        response.headers,
        connection,
    )
