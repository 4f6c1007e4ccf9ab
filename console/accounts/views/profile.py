"""A person's own settings: theme, shortcuts, lists, sign-in."""

from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.accounts.choices import ROLE_HELP, Theme
from console.accounts.services import change_preferences
from console.accounts.services.people import PAGE_SIZES
from console.lib.numbers import read_whole
from console.lib.pages import PageRequest, back, page, told, wants_fragment

A_YEAR_S = 365 * 86_400


def show(request: PageRequest) -> HttpResponse:
    context = {
        "section": "profile",
        "themes": Theme.choices,
        "page_sizes": PAGE_SIZES,
        "role_help": ROLE_HELP[request.user.role],
        "has_mfa": is_mfa_enabled(request.user),
    }
    return render(request, "accounts/profile.html", context)


@require_POST
@page()
def set_theme(request: PageRequest) -> HttpResponse:
    """Stored with the person, and in a cookie so that the sign-in page of this browser has it too."""
    theme = request.POST.get("theme", "")
    with told(request):
        change_preferences(user=request.user, theme=theme)
    answer = (
        HttpResponse(status=204) if wants_fragment(request) else back(request, reverse("settings", args=["profile"]))
    )
    answer.set_cookie("theme", request.user.theme, max_age=A_YEAR_S, samesite="Lax", secure=request.is_secure())
    return answer


@require_POST
@page()
def set_preferences(request: PageRequest) -> HttpResponse:
    with told(request) as say:
        change_preferences(
            user=request.user,
            shortcuts=request.POST.get("shortcuts") == "on",
            page_size=read_whole(request.POST.get("page_size", ""), otherwise=0),
        )
        say("Saved.")
    return back(request, reverse("settings", args=["profile"]))
