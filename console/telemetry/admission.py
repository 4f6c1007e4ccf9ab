"""Who may hold a live socket: a page of ours, a session that is good, a person who may read."""

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from channels.auth import get_user
from channels.db import database_sync_to_async
from django.conf import settings

from console.lib.permissions import can
from console.lib.rights import READ
from console.telemetry.wire import FORBIDDEN, LOGIN

Scope = dict[str, Any]


def same_origin(scope: Scope) -> bool:
    """The page that opens the socket must be ours, to the port: cookies do not tell ports apart."""
    headers = dict(scope.get("headers", []))
    origin = headers.get(b"origin", b"").decode("latin1")
    host = headers.get(b"host", b"").decode("latin1")
    return bool(host) and (urlsplit(origin).netloc == host or origin in settings.CSRF_TRUSTED_ORIGINS)


async def refusal(scope: Scope) -> int:
    """The close code for someone who may not look (any more), or 0."""
    user = await get_user(scope)
    if not user.is_authenticated or not user.is_active:
        return LOGIN
    return 0 if await database_sync_to_async(can)(user, READ) else FORBIDDEN


def look_anew(scope: Scope) -> Scope:
    """The scope with its session as the store has it now, not as it was when the socket opened."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return {"session": store(scope["session"].session_key)}
