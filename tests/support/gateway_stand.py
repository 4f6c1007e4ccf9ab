"""A server that stands where the gateway does: it keeps what it was sent and answers as told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stand:
    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    requests: list[Request] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)  # answers wait until it is set

    def __post_init__(self) -> None:
        self.hold.set()


@contextmanager
def stand_in() -> Iterator[Stand]:
    stand = Stand()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            stand.requests.append(Request(self.path, headers, self.rfile.read(length)))
            stand.hold.wait(10)
            self.send_response(stand.status)
            for name, value in {"Content-Length": str(len(stand.body)), **stand.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(stand.body)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stand.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stand
    finally:
        stand.hold.set()
        server.shutdown()
        server.server_close()
