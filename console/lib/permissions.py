"""May this actor do that? One look into the actor's rights, the same for pages, API and services."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from console.lib.errors import NotAllowed
from console.lib.rights import READ, least_role


def can(actor: Any, right: str) -> bool:
    return right in getattr(actor, "rights", frozenset())


def why_not(actor: Any, right: str) -> str:
    """The reason to show beside a disabled control; empty when the actor may."""
    if can(actor, right):
        return ""
    return f"This needs the right “{right}”: ask an admin for the role {least_role(right)} or above."


def check_right(actor: Any, right: str) -> None:
    """For services and views that decide in their body. Raises NotAllowed."""
    if not can(actor, right):
        raise NotAllowed(why_not(actor, right), required_role=least_role(right))


def requires(right: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Guard a page view: an anonymous visitor goes to the login, one without the right gets 403 with the reason."""

    def guard(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not can(request.user, right):
                raise PermissionDenied(why_not(request.user, right))
            return view(request, *args, **kwargs)

        return guarded

    return guard


def view_requires(right: str) -> Callable[[type], type]:
    """The same for a class-based view."""
    return method_decorator(requires(right), name="dispatch")


class HasRight(BasePermission):
    """DRF: reading needs `read`; everything else the view's `write_right`, or `rights = {"POST": "infer"}` by method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        right = needed_right(request.method or "GET", view)
        if can(request.user, right):
            return True
        if not request.user or not request.user.is_authenticated:
            return False  # DRF turns this into 401
        raise NotAllowed(why_not(request.user, right), required_role=least_role(right))


def needed_right(method: str, view: APIView) -> str:
    by_method: dict[str, str] = getattr(view, "rights", {})
    if method in by_method:
        return by_method[method]
    if method in SAFE_METHODS:
        return getattr(view, "read_right", READ)
    return getattr(view, "write_right", "operate")
