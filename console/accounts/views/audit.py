"""The record of who did what: filtered as the API filters it, with a check of its chain."""

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render

from console.accounts.filters import AuditFilter
from console.accounts.models import AuditEvent
from console.accounts.selectors import list_audit, list_audit_actions
from console.accounts.services import verify_chain
from console.lib.errors import Invalid
from console.lib.pages import PageRequest, page

FILTERS = ("q", "action", "actor", "actor_kind", "subject", "request_id")


@page()
def audit(request: PageRequest) -> HttpResponse:
    given = {name: value for name in FILTERS if (value := request.GET.get(name, "").strip())}
    try:
        events, refusal = AuditFilter(given, list_audit()).qs, ""
    except Invalid as error:
        events, refusal = AuditEvent.objects.none(), str(error)
    context = {
        "paged": Paginator(events, request.user.page_size).get_page(request.GET.get("page")),
        "given": given,
        "refusal": refusal,
        "actions": list_audit_actions(),
        "check": verify_chain() if request.GET.get("check") else None,
    }
    return render(request, "accounts/audit.html", context)
