"""`/settings/<section>/`: which sections there are, and who may see them."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from console.accounts.views import keys, people, profile, system
from console.lib.pages import PageRequest, page

Show = Callable[[PageRequest], HttpResponse]

SECTIONS: dict[str, Show] = {
    "profile": profile.show,
    "api-keys": keys.show,
    "users": people.show,
    "system": system.show,
}


@page()
def settings(request: PageRequest, section: str) -> HttpResponse:
    if section not in SECTIONS:
        raise Http404(f"Settings have no section {section!r}; there are: {', '.join(SECTIONS)}.")
    return SECTIONS[section](request)


def first_section(request: HttpRequest) -> HttpResponse:  # noqa: ARG001  Django hands it in
    return redirect("settings", "profile")
