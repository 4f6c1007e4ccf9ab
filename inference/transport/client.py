"""The gateway's (or controller's) end of a connection to one replica."""

import asyncio
import socket
import ssl
from typing import Any, Protocol

from inference.transport.frames import (
    BadFrame,
    ClientHello,
    Drain,
    FrameReader,
    Grant,
    Header,
    Heartbeat,
    Kind,
    Result,
    WorkerHello,
    decode_header,
    pack,
)

DIAL_TIMEOUT_S = 5.0
HELLO_TIMEOUT_S = 5.0


class LinkOwner(Protocol):
    """What a link tells. `lost` comes exactly once for each link that said `ready` or failed to."""

    def link_ready(self, link: "Link", hello: WorkerHello) -> None: ...

    def link_granted(self, link: "Link", credits: int) -> None: ...

    def link_answered(self, link: "Link", result: Result, body: memoryview) -> None: ...

    def link_draining(self, link: "Link", reason: str) -> None: ...

    def link_lost(self, link: "Link", why: str) -> None: ...


class Link(asyncio.BufferedProtocol):
    """One connection: hello both ways, then frames. Whatever breaks the protocol ends the connection."""

    def __init__(self, hello: ClientHello, owner: LinkOwner, hello_timeout_s: float = HELLO_TIMEOUT_S):
        self.hello = hello
        self.hello_timeout_s = hello_timeout_s
        self.owner = owner
        self.reader = FrameReader()
        self.transport: asyncio.Transport | None = None
        self.hello_timer: asyncio.TimerHandle | None = None
        self.why = ""

    def connection_made(self, transport: Any) -> None:  # uvloop's transports are not asyncio's by class
        self.transport = transport
        keep_alive(transport)
        transport.write(pack(Kind.HELLO, self.hello))
        self.hello_timer = asyncio.get_running_loop().call_later(
            self.hello_timeout_s, self.abort, "it did not say hello"
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for kind, raw, body in self.reader.filled(nbytes):
                self.take_frame(kind, raw, body)
        except BadFrame as error:
            self.abort(str(error))

    def take_frame(self, kind: Kind, raw: bytes, body: memoryview) -> None:
        header = decode_header(kind, raw)
        if isinstance(header, WorkerHello):
            if self.hello_timer is None:
                raise BadFrame("A second hello came.")
            self.hello_timer.cancel()
            self.hello_timer = None
            self.owner.link_ready(self, header)
        elif self.hello_timer is not None:
            raise BadFrame(f"A {kind.name} frame came before the hello.")
        elif isinstance(header, Result):
            self.owner.link_answered(self, header, body)
        elif isinstance(header, Grant):
            self.owner.link_granted(self, header.credits)
        elif isinstance(header, Drain):
            self.owner.link_draining(self, header.reason)
        elif not isinstance(header, Heartbeat):  # those are the controller's business
            raise BadFrame(f"A worker does not send {kind.name} frames.")

    def send(self, *frame: bytes | memoryview) -> None:
        """Write the parts of a frame. They must stay as they are until the peer has read them."""
        if self.transport is not None and not self.transport.is_closing():
            if len(frame) == 1:
                self.transport.write(frame[0])
            else:
                self.transport.writelines(frame)

    def send_header(self, kind: Kind, header: Header) -> None:
        self.send(pack(kind, header))

    def abort(self, why: str) -> None:
        """End the connection now; the owner hears `why`."""
        self.why = self.why or why
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.hello_timer is not None:
            self.hello_timer.cancel()
        self.owner.link_lost(self, self.why or (str(error) if error else "the connection ended"))


def keep_alive(transport: asyncio.Transport) -> None:
    """Notice within half a minute that another machine is gone; unix sockets need no such thing."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def dial(
    address: str,
    hello: ClientHello,
    owner: LinkOwner,
    tls: ssl.SSLContext | None = None,
    hello_timeout_s: float = HELLO_TIMEOUT_S,
) -> Link:
    """Connect to `unix:/path` or `tls:host:port`. Raises OSError (TimeoutError and ssl.SSLError are ones)."""
    loop = asyncio.get_running_loop()
    scheme, _, place = address.partition(":")
    link = Link(hello, owner, hello_timeout_s)
    async with asyncio.timeout(DIAL_TIMEOUT_S):
        if scheme == "unix":
            await loop.create_unix_connection(lambda: link, place)
        elif scheme == "tls":
            if tls is None:
                raise OSError(f"{address} needs certificates; make them with 'python -m inference certs'.")
            host, _, port = place.rpartition(":")
            await loop.create_connection(lambda: link, host, int(port), ssl=tls)
        else:
            raise OSError(f"{address!r} is no address of a worker: it takes unix:/path or tls:host:port.")
    return link
