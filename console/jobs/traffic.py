"""Demo traffic: samples sent to one model at a steady rate, for a bounded time, over loopback, with an end.

Requests leave on a schedule and not when the last one is answered, so a slow model shows as latency and not as a lower
rate. At most SENDERS are under way; what would go beyond is left out and counted.
"""

import http.client
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

from django.conf import settings

from console.accounts.services import console_key
from console.lib.errors import Conflict
from console.registry import selectors as registry
from console.registry.programs import Progress
from console.serving.oip import Encoded, encode_request
from console.serving.samples import sample_requests
from console.serving.selectors import traffic_of
from console.serving.snippets import infer_path

SENDERS = 16
TIMEOUT_S = 10.0
BEAT_S = 0.5


@dataclass
class Sent:
    """What was sent and how it was answered."""

    planned: int = 0
    ok: int = 0
    refused: int = 0  # answered, but not with 200
    failed: int = 0  # no answer
    skipped: int = 0  # not sent: too many were under way

    @property
    def sentence(self) -> str:
        extra = [f"{count} {word}" for count, word in self.counted() if count]
        return f"{self.ok} of {self.planned} answered" + (f" ({', '.join(extra)})" if extra else "")

    def counted(self) -> list[tuple[int, str]]:
        return [(self.refused, "refused"), (self.failed, "unanswered"), (self.skipped, "skipped")]


class Sender(threading.local):
    """One kept connection a thread."""

    connection: http.client.HTTPConnection | None = None

    def send(self, path: str, encoded: Encoded) -> int:
        """The answer's status. Raises OSError or HTTPException when there is none."""
        if self.connection is None:
            gateway = urlsplit(settings.GATEWAY_URL)
            self.connection = http.client.HTTPConnection(gateway.hostname or "", gateway.port, timeout=TIMEOUT_S)
        headers = {**encoded.headers, "Authorization": f"Bearer {console_key()}"}
        try:
            self.connection.request("POST", path, encoded.body, headers)
            answer = self.connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise


def send_traffic(*, model: str, rate_per_s: float, seconds: float, beat: Progress) -> Sent:
    """Send until the time is over or `beat` ends it."""
    found = registry.get_model(model)
    weights = traffic_of(found).weights
    if not weights:
        raise Conflict(f"Model {model!r} has no traffic: set its stable version first.")
    requests = cycle([encode_request(body) for body in sample_requests(weights[0].version)])
    path, sender, sent = infer_path(model, None), Sender(), Sent()
    under_way: set[Future[int]] = set()
    began = time.monotonic()
    beat_at = began
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="demo-traffic") as threads:
        while (now := time.monotonic()) < began + seconds:
            collect(under_way, sent)
            if now >= beat_at:
                beat(100 * (now - began) / seconds, sent.sentence)
                beat_at = now + BEAT_S
            if now >= began + sent.planned / rate_per_s:
                sent.planned += 1
                if len(under_way) >= SENDERS:
                    sent.skipped += 1
                else:
                    under_way.add(threads.submit(sender.send, path, next(requests)))
            next_s = began + sent.planned / rate_per_s
            time.sleep(max(0.0, min(next_s, beat_at, began + seconds) - time.monotonic()))
    collect(under_way, sent)
    return sent


def collect(under_way: set[Future[int]], sent: Sent) -> None:
    for future in [future for future in under_way if future.done()]:
        under_way.remove(future)
        if future.exception() is not None:
            sent.failed += 1
        elif future.result() == 200:
            sent.ok += 1
        else:
            sent.refused += 1
