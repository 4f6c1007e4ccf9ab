"""Lines of the record, in words: what happened, which picture, what changed."""

import json
from typing import Any

from django import template

from console.accounts.models import AuditEvent

register = template.Library()

ICONS = {
    "model": "model", "version": "model", "alias": "link", "upload": "upload", "traffic": "switch", "api_key": "key",
    "user": "lock", "login_link": "key", "mfa": "lock", "pool": "chip", "price": "coin", "cache_policy": "cache",
    "demo": "play", "operation": "hourglass",
}  # fmt: skip
WORDS = {
    "create": "made", "update": "changed", "delete": "deleted", "archive": "archived", "restore": "restored",
    "move": "moved", "set": "set", "revoke": "revoked",
    "rotate": "rotated", "add": "added", "load": "kept loaded", "unload": "released", "login": "signed in",
    "logout": "signed out", "set_password": "got a new password", "remove": "removed", "use": "used",
    "cancel": "cancelled", "validate": "validated", "traffic": "traffic started",
}  # fmt: skip
TITLES = {
    "traffic.set_stable": "Stable version set",
    "traffic.set": "Traffic split",
    "demo.traffic": "Demo traffic sent",
}
LONGEST = 60


@register.filter
def action_icon(action: str) -> str:
    return ICONS.get(action.split(".")[0], "audit")


@register.filter
def event_title(event: AuditEvent) -> str:
    """`api_key.rotate` → API key rotated."""
    if event.action in TITLES:
        return TITLES[event.action]
    noun, _, verb = event.action.partition(".")
    noun = {"api_key": "API key", "mfa": "Second factor"}.get(noun, noun.replace("_", " ").capitalize())
    return f"{noun} {WORDS.get(verb, verb.replace('_', ' '))}"


@register.filter
def event_change(event: AuditEvent) -> str:
    """The first things that differ between before and after, short."""
    before, after = event.before or {}, event.after or {}
    changed = [name for name in after if before.get(name) != after[name]]
    said = [
        f"{name} {short(before[name])} → {short(after[name])}" if name in before else f"{name} {short(after[name])}"
        for name in changed[:2]
        if after[name] not in (None, "", [], {})
    ]
    more = len(changed) - 2
    return ", ".join(said) + (f" and {more} more" if said and more > 0 else "")


def short(value: Any) -> str:
    if isinstance(value, dict):
        held = {key: f"{one:g}%" if isinstance(one, float) else one for key, one in value.items()}
        text = ", ".join(f"{key} {one}" for key, one in held.items())
    elif isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@register.filter
def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
