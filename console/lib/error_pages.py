"""Django's error handlers: a problem document under /api/, a page elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

from console.lib.api_errors import answer_problem, is_api


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return answer_problem(request, 400, "The request cannot be read.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return answer_problem(request, 403, str(exception) or "You may not do this.")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return answer_problem(request, 404, f"There is nothing at {request.path}. GET /api/v1/ lists what there is.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        return answer_problem(request, 500, "This failed on our side; the log has it under the request id.")
    return defaults.server_error(request)


def not_ready(request: HttpRequest) -> HttpResponse:
    """The database is away or held by a long writer: nothing was changed, and a moment later it may work."""
    if is_api(request):
        answer = answer_problem(request, 503, "The database does not answer. Try again.")
    else:
        answer = render(request, "503.html", status=503)
    answer["Retry-After"] = "2"
    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    detail = f"The form's protection token is missing or old: {reason} Reload the page and try again."
    if is_api(request):
        return answer_problem(request, 403, detail)
    from django.core.exceptions import PermissionDenied

    return defaults.permission_denied(request, PermissionDenied(detail))
