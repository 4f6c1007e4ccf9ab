"""Request heads seen before: a client that keeps its connection sends the same bytes before every body.

What a head means follows from its bytes alone, so parsing, checking and routing it once is enough; the look-up that
stands for them costs a tenth. A head is kept when it comes a second time: clients that put something new into each (a
trace, an id) fill no memory and push nobody out. Whether its key is still good is asked of the application each time.
"""

from inference.gateway.exchange import Head

END = b"\r\n\r\n"
MAX_HEAD_BYTES = 2048
MAX_HEADS = 2048  # with MAX_HEAD_BYTES, about 8 MB at worst
MAX_SEEN = 8192


class KnownHeads:
    def __init__(self) -> None:
        self.heads: dict[bytes, Head] = {}
        self.seen: set[int] = set()

    def find(self, raw: bytes) -> Head | None:
        return self.heads.get(raw)

    def learn(self, raw: bytes, head: Head, header_lines: int) -> None:
        """Remember what the parser made of `raw`, if it comes repeatedly and can stand for all that do.

        That takes a POST whose body is framed by Content-Length alone, taken as it is, and a connection that stays. A
        head with odd line ends, which another reader might cut elsewhere, is left to the parser.
        """
        if len(raw) > MAX_HEAD_BYTES or not head.keep_alive or head.http_1_0 or raw.count(b"\n") != header_lines + 2:
            return
        headers = head.headers
        if head.method != b"POST" or b"content-length" not in headers:
            return
        if b"expect" in headers or b"upgrade" in headers:
            return
        if b"transfer-encoding" in headers or b"content-encoding" in headers:
            return
        place = hash(raw)
        if place not in self.seen:
            if len(self.seen) >= MAX_SEEN:
                self.seen.clear()
            self.seen.add(place)
            return
        if len(self.heads) >= MAX_HEADS and raw not in self.heads:
            del self.heads[next(iter(self.heads))]
        head.body_bytes = int(headers[b"content-length"])
        self.heads[raw] = head

    def forget(self, raw: bytes) -> None:
        self.heads.pop(raw, None)
