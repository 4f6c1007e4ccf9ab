"""Addresses for machines that watch the console, and the reader of its API."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from console.lib.health import as_dict, check_dependencies
from console.lib.metrics import registry
from console.lib.permissions import requires
from console.lib.rights import READ


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Liveness: the process answers. Asks nothing else, so an absent database restarts nobody."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Readiness: 503 without the database. Without Redis pages still work, so that only shows."""
    checks = check_dependencies()
    ready = all(check.ok for check in checks if check.required)
    return JsonResponse({"ready": ready, "checks": as_dict(checks)}, status=200 if ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


@requires(READ)
def api_docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI from our own files: the packaged page carries inline scripts and styles, which our policy forbids."""
    return render(request, "lib/api_docs.html", {"schema_url": reverse("schema")})
