"""The record of who did what, with a check of its chain."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.accounts.models import AuditEvent
from console.accounts.services import verify_chain
from console.lib.pages import page


@page()
def audit(request: HttpRequest) -> HttpResponse:
    events = AuditEvent.objects.all()
    query = request.GET.get("q", "").strip()
    kind = request.GET.get("kind", "").strip()
    actor = request.GET.get("actor", "").strip()
    if query:
        events = events.filter(subject__icontains=query)
    if kind:
        events = events.filter(action__startswith=f"{kind}.")
    if actor:
        events = events.filter(actor_name=actor)
    actions = AuditEvent.objects.order_by().values_list("action", flat=True).distinct()
    kinds = sorted({action.split(".")[0] for action in actions})
    actors = AuditEvent.objects.order_by("actor_name").values_list("actor_name", flat=True).distinct()
    context = {
        "events": Paginator(events, request.user.page_size).get_page(request.GET.get("page")),
        "total": AuditEvent.objects.count(),
        "query": query, "kind": kind, "actor": actor, "kinds": kinds, "actors": actors,
        "check": verify_chain() if request.GET.get("check") else None,
    }  # fmt: skip
    return render(request, "accounts/audit.html", context)
