"""The one-time login link."""

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from console.accounts.services import consume_login_link
from console.lib.errors import NotAllowed


@require_GET  # a HEAD, as previews of links send it, must not use it up
@never_cache
def login_by_link(request: HttpRequest, token: str) -> HttpResponse:
    try:
        user = consume_login_link(token)
    except NotAllowed as refusal:
        return render(request, "accounts/link_refused.html", {"why": str(refusal)}, status=403)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("/")
