"""Users and their roles, for admins; everyone else sees who can help."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from console.accounts.choices import ROLE_HELP, Role
from console.accounts.models import User
from console.accounts.selectors import get_user, list_users
from console.accounts.services import create_login_link, create_user, deactivate_user, update_user
from console.lib.errors import ConsoleError
from console.lib.numbers import read_whole
from console.lib.pages import PageRequest, page, told
from console.lib.permissions import can
from console.lib.rights import ADMIN


def show(
    request: PageRequest, refusal: ConsoleError | None = None, link: tuple[User, str] | None = None
) -> HttpResponse:
    may_change = can(request.user, ADMIN)
    admins = list_users().filter(role=Role.ADMIN, is_active=True)
    context = {
        "section": "users",
        "users": list_users() if may_change else admins,
        "admins": admins,
        "may_change": may_change,
        "roles": [(role, role.label, ROLE_HELP[role]) for role in Role],
        "refusal": refusal,
        "link": link,
        "given": request.POST if refusal else {},
    }
    return render(request, "accounts/users.html", context, status=422 if refusal else 200)


@require_POST
@page(ADMIN)
def create(request: PageRequest) -> HttpResponse:
    try:
        user = create_user(
            actor=request.user,
            username=request.POST.get("username", "").strip(),
            password=request.POST.get("password", ""),
            role=request.POST.get("role", Role.VIEWER),
            email=request.POST.get("email", "").strip(),
        )
    except ConsoleError as refusal:
        return show(request, refusal=refusal)
    with told(request) as say:
        say(f"{user.username} can log in as {user.get_role_display().lower()}.")
    return redirect("settings", "users")


@require_POST
@page(ADMIN)
def change(request: PageRequest, user_id: int) -> HttpResponse:
    """Role, the native right, and whether the person may log in; the form carries the row version it was based on."""
    user = get_user(user_id)
    with told(request) as say:
        update_user(
            actor=request.user,
            user=user,
            seen=read_whole(request.POST.get("seen", ""), otherwise=0),
            role=request.POST.get("role"),
            native=request.POST.get("native") == "on",
            is_active=True,
        )
        say(f"{user.username} is {user.get_role_display().lower()} now.")
    return redirect("settings", "users")


@require_POST
@page(ADMIN)
def deactivate(request: PageRequest, user_id: int) -> HttpResponse:
    user = get_user(user_id)
    with told(request) as say:
        deactivate_user(actor=request.user, user=user, seen=read_whole(request.POST.get("seen", ""), otherwise=0))
        say(f"{user.username} can no longer log in. Their sessions ended, their keys stop working.")
    return redirect("settings", "users")


@require_POST
@page(ADMIN)
def make_login_link(request: PageRequest, user_id: int) -> HttpResponse:
    """For someone who lost access: a link to hand over, shown once."""
    user = get_user(user_id)
    try:
        path = create_login_link(actor=request.user, user=user)
    except ConsoleError as refusal:
        return show(request, refusal=refusal)
    return show(request, link=(user, request.build_absolute_uri(path)))
