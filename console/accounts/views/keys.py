"""API keys: made (their text is shown once), rotated, revoked."""

from datetime import datetime, timedelta

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from console.accounts.choices import Scope
from console.accounts.selectors import get_api_key, list_api_keys, state_of
from console.accounts.services import create_api_key, revoke_api_key, rotate_api_key
from console.accounts.services.keys import NewKey
from console.lib.confirm import Effect, Question, ask
from console.lib.errors import ConsoleError, Invalid
from console.lib.pages import PageRequest, page, told
from console.lib.permissions import can
from console.lib.rights import ADMIN, NATIVE, SCOPE_RIGHTS
from console.lib.templatetags.units import spell_age

LIVES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "No end"))


@never_cache
def show(request: PageRequest) -> HttpResponse:
    if request.method == "POST":
        return create(request)
    return show_keys(request)


def create(request: PageRequest) -> HttpResponse:
    names = [name for name in request.POST.get("models", "").replace(",", " ").split() if name]
    try:
        new = create_api_key(
            actor=request.user,
            name=request.POST.get("name", ""),
            scopes=request.POST.getlist("scopes"),
            models=names or None,
            expires_at=read_end(request.POST.get("days", "")),
        )
    except ConsoleError as refusal:
        return show_keys(request, refusal=refusal)
    return show_keys(request, new=new)


def read_end(days: str) -> datetime | None:
    """One of the lives that the form offers. Nothing else: a key must not live for ever by a slip."""
    if days not in dict(LIVES):
        raise Invalid.field("days", f"A key lives one of: {', '.join(label for _, label in LIVES)}.")
    return timezone.now() + timedelta(days=int(days)) if days else None


def show_keys(request: PageRequest, new: NewKey | None = None, refusal: ConsoleError | None = None) -> HttpResponse:
    """The text of a new key is only in this answer: it is stored nowhere, so a reload does not bring it back."""
    everyone = can(request.user, ADMIN) and request.GET.get("whose") == "all"
    context = {
        "section": "api-keys",
        "keys": [(key, state_of(key)) for key in list_api_keys(request.user, everyone=everyone)],
        "everyone": everyone,
        "new": new,
        "refusal": refusal,
        "scopes": [(scope, scope.label, SCOPE_RIGHTS[scope] - {NATIVE} <= request.user.rights) for scope in Scope],
        "lives": LIVES,
        "gateway_url": settings.GATEWAY_PUBLIC_URL,
        "given": request.POST,
        "chosen": request.POST.getlist("scopes") if refusal else [Scope.INFER],
    }
    return render(request, "accounts/keys.html", context, status=422 if refusal else 200)


@never_cache
@page()
def rotate(request: PageRequest, key_id: int) -> HttpResponse:
    key = get_api_key(request.user, key_id)
    if request.method == "POST":
        try:
            return show_keys(request, new=rotate_api_key(actor=request.user, key=key))
        except ConsoleError as refusal:
            return show_keys(request, refusal=refusal)
    question = Question(
        title=f"Rotate {key.name}?",
        text="A new key with the same rights is made and shown once.",
        act="Rotate key",
        action=reverse("rotate_key", args=[key_id]),
        cancel=reverse("settings", args=["api-keys"]),
        effects=(
            Effect("The new key works within a second", "key"),
            Effect("The old one goes on for 24 h, so that clients change in peace", "clock"),
        ),
    )
    return ask(request, question)


@page()
def revoke(request: PageRequest, key_id: int) -> HttpResponse:
    key = get_api_key(request.user, key_id)
    if request.method == "POST":
        with told(request) as say:
            revoke_api_key(actor=request.user, key=key)
            say(f"{key.name} is revoked. Gateways refuse it within a second.")
        return redirect("settings", "api-keys")
    used = f"Last used {spell_age((timezone.now() - key.last_used_at).total_seconds())} ago" if key.last_used_at else ""
    question = Question(
        title=f"Revoke {key.name}?",
        text="Whoever uses it gets 401 from now on. This cannot be undone; rotate it to change it in peace.",
        act="Revoke key",
        action=reverse("revoke_key", args=[key_id]),
        cancel=reverse("settings", args=["api-keys"]),
        effects=(Effect(f"sy_{key.prefix}_… stops working within a second. {used}", "key"),),
        danger=True,
    )
    return ask(request, question)
