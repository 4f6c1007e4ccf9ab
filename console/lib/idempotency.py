"""Idempotency-Key: a POST repeated after a lost answer gets that answer again, and is not done twice.

The key's row is made before the work and outside its transaction, so a second request that comes while the first is
at work sees it (409). Only final answers are kept: after a 5xx or a crash the key is free again.
"""

import hashlib
import json
import re
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http.request import RawPostDataException
from django.utils import timezone
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.lib.actors import actor_of
from console.lib.errors import InFlight, Invalid, PreconditionMissing
from console.lib.models import IdempotentAnswer

LIFE = timedelta(hours=24)
WORK_LIMIT = timedelta(minutes=5)  # a first request that has not answered by then died
KEEP_HEADERS = ("Location", "ETag", "Link", "Retry-After")
KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
MAX_BODY_BYTES = 1024 * 1024


class OtherBody(Invalid):
    code = "idempotency_key_reused"


class Idempotent(APIView):
    """Mixin for views: honours the header on every POST; `idempotency_required` makes it a must."""

    idempotency_required = False
    never_stored: tuple[str, ...] = ()  # members of the answer that are secret: a replay has null there
    idempotent_answer: IdempotentAnswer | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # authentication, permission, throttle: first
        if request.method != "POST":
            return
        key = request.headers.get("Idempotency-Key")
        if key is None:
            if self.idempotency_required:
                raise PreconditionMissing("Send an Idempotency-Key header, a fresh UUID for each new request.")
            return
        if not KEY.match(key):
            raise Invalid("Idempotency-Key takes 1 to 255 printable ASCII characters without spaces.")
        self.idempotent_answer = claim(request, key)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self.idempotent_answer = None
        try:
            return super().dispatch(request, *args, **kwargs)
        except Exception:
            self.release()  # an answer that nobody knows yet: the next try works anew
            raise

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Replay):
            return exc.response
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        answer, self.idempotent_answer = self.idempotent_answer, None
        if answer is not None:
            keep(answer, response, self.never_stored)
        return response

    def release(self) -> None:
        if self.idempotent_answer is not None:
            IdempotentAnswer.objects.filter(pk=self.idempotent_answer.pk).delete()
            self.idempotent_answer = None


class Replay(Exception):
    def __init__(self, response: Response):
        super().__init__()
        self.response = response


def claim(request: Request, key: str) -> IdempotentAnswer:
    """Take the key for this request, or raise Replay, InFlight or OtherBody."""
    actor = actor_of(request)
    scope = {"principal": f"{actor.actor_kind}:{actor.actor_id}", "route": request.path[:300], "key": key}
    digest = hash_body(request)
    now = timezone.now()
    dead = Q(created_at__lt=now - LIFE) | Q(status=None, created_at__lt=now - WORK_LIMIT)
    IdempotentAnswer.objects.filter(dead, **scope).delete()
    try:
        with transaction.atomic():
            return IdempotentAnswer.objects.create(**scope, body_sha256=digest)
    except IntegrityError:
        held = IdempotentAnswer.objects.filter(**scope).first()
    if held is None or held.status is None:
        raise InFlight("A request with this Idempotency-Key is still at work. Ask again in a moment.")
    if held.body_sha256 != digest:
        raise OtherBody("This Idempotency-Key was used with another body. Use a fresh key for a new request.")
    raise Replay(answer_again(held))


def hash_body(request: Request) -> str:
    """Of the raw bytes where they were not read as a stream. Forms and JSON are small: settings bound them."""
    try:
        return hashlib.sha256(request._request.body).hexdigest()
    except RawPostDataException:  # a multipart form, which the API does not take
        raise UnsupportedMediaType(request.content_type or "") from None


def answer_again(held: IdempotentAnswer) -> Response:
    response = Response(json.loads(bytes(held.body)) if held.body else None, status=held.status)
    for name, value in held.headers.items():
        if name == "Content-Type":
            response.content_type = value
        else:
            response[name] = value
    response["Idempotency-Replayed"] = "true"
    return response


def keep(answer: IdempotentAnswer, response: Any, never_stored: tuple[str, ...]) -> None:
    rows = IdempotentAnswer.objects.filter(pk=answer.pk)
    if response.status_code >= 500 or response.status_code == 429:
        rows.delete()
        return
    body = b"" if response.data is None else JSONRenderer().render(response.data)
    if never_stored and isinstance(response.data, dict):
        body = JSONRenderer().render(dict(response.data) | dict.fromkeys(never_stored))
    if len(body) > MAX_BODY_BYTES:
        rows.delete()
        return
    kept = {name: response[name] for name in KEEP_HEADERS if name in response}
    if response.content_type:  # a problem document; else the renderer says
        kept["Content-Type"] = response.content_type
    rows.update(status=response.status_code, headers=kept, body=body)
