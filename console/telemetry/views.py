"""Overview and dashboards: whole without script, live with it."""

import time

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from console.lib.errors import Invalid
from console.lib.pages import page
from console.lib.permissions import why_not
from console.lib.rights import OPERATE
from console.telemetry.dashboards import page_data, read_dashboard
from console.telemetry.overview import read_overview
from console.telemetry.series import RANGES

DASHBOARDS = {"latency": "Latency"}


@page()
def overview(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "telemetry/overview.html",
        {"overview": read_overview(), "why_not": why_not(request.user, OPERATE)},
    )


@page()
def dashboards(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return redirect("dashboard", kind="latency")


@page()
def dashboard(request: HttpRequest, kind: str) -> HttpResponse:
    if kind not in DASHBOARDS:
        raise Http404(f"No dashboard is called {kind!r}. There is: {', '.join(DASHBOARDS)}.")
    now_s = time.time()
    try:
        shown = read_dashboard(request.GET.dict(), now_s)
    except Invalid as error:
        return render(request, "telemetry/bad_range.html", {"problem": str(error), "ranges": RANGES}, status=400)
    context = {
        "dashboard": shown,
        "ranges": RANGES,
        "page_data": page_data(shown),
        "why_not": why_not(request.user, OPERATE),
    }
    return render(request, "telemetry/latency.html", context)
