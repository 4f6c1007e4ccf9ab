"""A limit of API requests per actor and minute, told in RateLimit headers. It protects the console, not the models:
the gateway has its own limits."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

WINDOW_S = 60


class Quota(NamedTuple):
    limit: int
    remaining: int
    reset_s: int


class PerActor(BaseThrottle):
    """A fixed window: one counter an actor and minute, shared by every console process through Redis."""

    quota: Quota | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        limit = settings.API_REQUESTS_PER_MINUTE
        now = int(time.time())
        key = f"api:{self.name_of(request)}:{now // WINDOW_S}"
        cache.add(key, 0, timeout=WINDOW_S * 2)
        try:
            used = cache.incr(key)
        except ValueError:  # it expired, or Redis went away, between the two calls
            used = 1
        self.quota = Quota(limit, max(0, limit - used), WINDOW_S - now % WINDOW_S)
        request._request.quota = self.quota  # type: ignore[attr-defined]
        return used <= limit

    def wait(self) -> float | None:
        return float(self.quota.reset_s) if self.quota else None

    def name_of(self, request: Request) -> str:
        actor = request.user
        if actor and actor.is_authenticated:
            return f"{actor.actor_kind}:{actor.actor_id}"
        return f"address:{request.META.get('REMOTE_ADDR', '')}"


class RateLimitHeaders:
    """Middleware: `RateLimit-Limit`, `-Remaining` and `-Reset` on every answer that was counted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        quota: Quota | None = getattr(request, "quota", None)
        if quota is not None:
            response["RateLimit-Limit"] = str(quota.limit)
            response["RateLimit-Remaining"] = str(quota.remaining)
            response["RateLimit-Reset"] = str(quota.reset_s)
        return response
