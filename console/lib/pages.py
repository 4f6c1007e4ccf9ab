"""What page views share: a refusal becomes a message, a missing thing a 404 that says what there is instead."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from console.lib.errors import ConsoleError, Missing
from console.lib.permissions import requires
from console.lib.rights import READ
from console.lib.undo import Undo

View = Callable[..., HttpResponse]


class Say(Protocol):
    def __call__(self, text: str, undo: Undo | None = None) -> None: ...


class PageRequest(HttpRequest):
    """For the type checker: a request that has passed `page()`, so its user is a signed-in person."""

    user: Any


def page(right: str = READ) -> Callable[[View], View]:
    """Guard a page by a right, and answer 404 for what a selector does not find."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except Missing as missing:
                raise Http404(str(missing)) from missing

        return requires(right)(guarded)

    return guard


@contextmanager
def told(request: HttpRequest) -> Iterator[Say]:
    """Run a service; what it refuses is said on the next page. `with told(request) as say: …; say("Done.")`."""

    def say(text: str, undo: Undo | None = None) -> None:
        messages.success(request, text, extra_tags=undo.pack() if undo else "")

    try:
        yield say
    except Missing:
        raise
    except ConsoleError as refusal:
        messages.error(request, str(refusal))


def back(request: HttpRequest, otherwise: str) -> HttpResponse:
    """To the page that the form names, if it is ours."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return redirect(wanted)
    return redirect(otherwise)


def wants_fragment(request: HttpRequest) -> bool:
    """A script asks for a part of the page, not for the frame around it."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"
