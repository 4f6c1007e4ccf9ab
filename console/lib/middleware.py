"""What every request passes: its id, its line in the log, and the way back to the login for htmx."""

import re
import time
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import structlog
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils.encoding import escape_uri_path

from console.lib import metrics
from console.lib.actors import bind_request_id
from console.lib.error_pages import not_ready
from console.lib.ids import new_ulid

log = structlog.get_logger()

Next = Callable[[HttpRequest], HttpResponse]
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET = ("/healthz", "/readyz", "/metrics", "/static/")


class RequestId:
    """X-Request-ID of the client if it is harmless, else a new one; bound to logs, audit rows and problem documents."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        value = given if GIVEN_ID.match(given) else new_ulid()
        request.request_id = value  # type: ignore[attr-defined]
        started = time.perf_counter()
        with bind_request_id(value), structlog.contextvars.bound_contextvars(request_id=value):
            response = self.get_response(request)
            took_ms = (time.perf_counter() - started) * 1000
            response["X-Request-ID"] = value
            response["Server-Timing"] = f"app;dur={took_ms:.1f}"
            count(request, response, took_ms / 1000)
            if not request.path.startswith(QUIET):
                write_line(request, response, took_ms)
        return response


def count(request: HttpRequest, response: HttpResponse, took_s: float) -> None:
    """By route, not by path: the number of series is bounded by the code, whatever clients ask for."""
    route = request.resolver_match.route if request.resolver_match else "unknown"
    metrics.requests.labels(request.method if request.method in METHODS else "other", route, response.status_code).inc()
    metrics.seconds.labels(route).observe(took_s)


def write_line(request: HttpRequest, response: HttpResponse, took_ms: float) -> None:
    user = getattr(request, "user", None)
    actor = getattr(user, "username", "") or "-"
    write = log.error if response.status_code >= 500 else log.info
    write(
        "request", method=request.method, path=loggable(request.path), status=response.status_code,
        ms=round(took_ms, 1), actor=actor,
    )  # fmt: skip


def loggable(path: str) -> str:
    """Percent-encoded again, for a terminal obeys control characters. A one-time login link is a password while it
    lasts: not for the log."""
    return "/login/…/" if path.startswith("/login/") else escape_uri_path(path)


class DatabaseAway:
    """A page that the database does not answer for says so: 503 and not 500. The API has its problem document."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, OperationalError):
            return None
        log.error("database.unavailable", error=str(exception))
        return not_ready(request)


class HtmxLogin:
    """An htmx request that meets the login gets 204 + HX-Redirect: the page goes there, no panel shows a login form."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        wants_login = response.status_code == 302 and response.get("Location", "").startswith("/accounts/login/")
        if not wants_login or request.headers.get("HX-Request") != "true":
            return response
        here = request.headers.get("HX-Current-URL", "")
        target = "/accounts/login/" + (f"?next={next_path(here)}" if here else "")
        return HttpResponse(status=204, headers={"HX-Redirect": target, "Vary": "HX-Request"})


def next_path(url: str) -> str:
    """The page, not the fragment that was asked for, is where one wants to be after the login."""
    parts = urlsplit(url)
    return quote(parts.path + (f"?{parts.query}" if parts.query else ""))
