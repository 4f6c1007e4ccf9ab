"""API keys: made (their text is shown once), rotated, revoked."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.accounts.choices import Scope
from console.accounts.models import ApiKey
from console.accounts.services import create_api_key, revoke_api_key, rotate_api_key
from console.accounts.services.keys import NewKey
from console.lib.errors import ConsoleError
from console.lib.pages import page, told
from console.lib.permissions import can
from console.lib.rights import ADMIN, SCOPE_RIGHTS

LIVES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "No end"))
OVERLAPS = (("0", "at once"), ("1", "in 1 h"), ("24", "in 24 h"), ("168", "in 7 days"))


@never_cache
def show(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return create(request)
    return show_keys(request)


def create(request: HttpRequest) -> HttpResponse:
    days = request.POST.get("days", "")
    names = [name for name in request.POST.get("models", "").replace(",", " ").split() if name]
    try:
        new = create_api_key(
            actor=request.user,
            name=request.POST.get("name", ""),
            scopes=request.POST.getlist("scopes"),
            models=names or None,
            expires_at=timezone.now() + timedelta(days=int(days)) if days.isdecimal() else None,
        )
    except ConsoleError as refusal:
        return show_keys(request, refusal=refusal)
    return show_keys(request, new=new)


def show_keys(request: HttpRequest, new: NewKey | None = None, refusal: ConsoleError | None = None) -> HttpResponse:
    """The text of a new key is only in this answer: it is stored nowhere, so a reload does not bring it back."""
    everyone = can(request.user, ADMIN) and request.GET.get("whose") == "all"
    keys = ApiKey.objects.select_related("owner", "replaced_by")
    now = timezone.now()
    context = {
        "section": "api-keys",
        "keys": [(key, key.is_valid_at(now)) for key in (keys if everyone else keys.filter(owner=request.user))],
        "everyone": everyone,
        "new": new,
        "refusal": refusal,
        "scopes": [(scope, scope.label, SCOPE_RIGHTS[scope] <= request.user.rights | {"native"}) for scope in Scope],
        "lives": LIVES,
        "overlaps": OVERLAPS,
        "given": request.POST,
        "chosen": request.POST.getlist("scopes") if request.method == "POST" else ["infer"],
    }
    return render(request, "accounts/keys.html", context, status=422 if refusal else 200)


@require_POST
@never_cache
@page()
def rotate(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id)
    hours = request.POST.get("hours", "24")
    try:
        new = rotate_api_key(
            actor=request.user, key=key, overlap=timedelta(hours=int(hours) if hours.isdecimal() else 24)
        )
    except ConsoleError as refusal:
        return show_keys(request, refusal=refusal)
    return show_keys(request, new=new)


@require_POST
@page()
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id)
    with told(request) as say:
        revoke_api_key(actor=request.user, key=key, reason=request.POST.get("reason", ""))
        say(f"{key.name} is revoked. Gateways refuse it within a second.")
    return redirect("settings", "api-keys")
