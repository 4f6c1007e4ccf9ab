"""The playground's way to the gateway: the request that a client would send, with the console's own key of the day.

Bounded in time and size both ways. What the gateway says comes back as it said it, a refusal too; the headers that
explain an answer (version, timing, cache, route) come along.
"""

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from console.accounts.services import console_key
from console.lib.actors import Actor, request_id
from console.lib.errors import BadGateway, GatewayTimeout, NotAllowed, NotReady, TooLarge
from console.lib.ids import new_ulid
from console.lib.permissions import check_right
from console.lib.rights import INFER
from console.registry.models import Model
from console.serving.oip import Encoded, encode_request
from console.serving.snippets import infer_path

MAX_REQUEST_BYTES = 8 * 1024**2
MAX_ANSWER_BYTES = 8 * 1024**2
TIMEOUT_S = 30.0
SHOWN_HEADERS = (
    "x-model-version",
    "x-cache",
    "x-route-reason",
    "x-request-id",
    "x-inference-cost-usd",
    "server-timing",
)


@dataclass(frozen=True)
class InferAnswer:
    """What came back, whatever the status."""

    status: int
    body: dict[str, Any]
    version: int | None  # that answered
    duration_ms: float  # as the console saw it, the way there and back included
    timing_ms: dict[str, float]  # from Server-Timing
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == 200


def infer(
    *,
    model: Model,
    body: dict[str, Any],
    actor: Actor,
    version: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> InferAnswer:
    """Send a request body (see `oip`); `version` is a number or an alias, None lets the traffic decide."""
    check_right(actor, INFER)
    check_model(actor, model)
    encoded = encode_request(body)
    if len(encoded.body) > MAX_REQUEST_BYTES:
        raise TooLarge(f"The request takes {len(encoded.body)} bytes; the playground sends up to {MAX_REQUEST_BYTES}.")
    headers = {
        **encoded.headers,
        "Authorization": f"Bearer {console_key()}",
        "X-Request-ID": request_id.get() or new_ulid(),
        "X-Timeout-Ms": str(int(timeout_s * 1000)),
    }
    began = time.perf_counter()
    status, answered, raw = post(infer_path(model.name, version), encoded, headers, timeout_s)
    return read_answer(status, answered, raw, (time.perf_counter() - began) * 1000)


def check_model(actor: Actor, model: Model) -> None:
    """A key's list of models holds here as at the gateway: the console's own key must not widen it."""
    allowed = getattr(actor, "allowed_models", None)
    if allowed is not None and model.name not in allowed:
        raise NotAllowed(f"This API key may not call model {model.name!r}. Ask an admin to add it to the key's models.")


def post(path: str, encoded: Encoded, headers: dict[str, str], timeout_s: float) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: a playground has no use for a pool, and nothing is left half read."""
    gateway = urlsplit(settings.GATEWAY_URL)
    kind = http.client.HTTPSConnection if gateway.scheme == "https" else http.client.HTTPConnection
    connection = kind(gateway.hostname or "127.0.0.1", gateway.port, timeout=timeout_s + 1)
    try:
        connection.request("POST", path, encoded.body, headers)
        answer = connection.getresponse()
        raw = answer.read(MAX_ANSWER_BYTES + 1)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, raw
    except TimeoutError as error:
        raise GatewayTimeout(f"The gateway did not answer within {timeout_s:g} s.") from error
    except http.client.HTTPException as error:
        raise BadGateway(f"The gateway's answer is not HTTP ({type(error).__name__}).") from error
    except OSError as error:
        raise NotReady("The gateway does not answer. The Workers page shows what is running.", "gateway") from error
    finally:
        connection.close()


def read_answer(status: int, headers: dict[str, str], raw: bytes, duration_ms: float) -> InferAnswer:
    if len(raw) > MAX_ANSWER_BYTES:
        raise BadGateway(f"The answer is larger than {MAX_ANSWER_BYTES} bytes. Ask the gateway itself for so much.")
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as error:
        raise BadGateway("The gateway's answer is not JSON.") from error
    if not isinstance(body, dict):
        raise BadGateway("The gateway's answer is not a JSON object.")
    version = str(body.get("model_version") or headers.get("x-model-version", ""))
    return InferAnswer(
        status=status,
        body=body,
        version=int(version) if version.isdecimal() else None,
        duration_ms=duration_ms,
        timing_ms=read_server_timing(headers.get("server-timing", "")),
        headers={name: headers[name] for name in SHOWN_HEADERS if name in headers},
    )


def read_server_timing(header: str) -> dict[str, float]:
    """`queue;dur=0.4, compute;dur=7.1` → milliseconds by name; what is malformed is left out."""
    timing = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur" and name and value.replace(".", "", 1).isdecimal():
                timing[name] = float(value)
    return timing
