"""May this actor do that? One look into the actor's rights, the same for pages, API (api_permissions) and services."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator

from console.lib.errors import NotAllowed
from console.lib.rights import NATIVE, least_role


def can(actor: Any, right: str) -> bool:
    return right in getattr(actor, "rights", frozenset())


def why_not(actor: Any, right: str) -> str:
    """The reason to show beside a disabled control; empty when the actor may."""
    if can(actor, right):
        return ""
    if right == NATIVE:
        return "This needs the right “native”, which no role has: an admin gives it to a person under Settings, Users."
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
