"""The list of models, one model in four tabs, and what can be done to a model."""

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.accounts.models import AuditEvent
from console.accounts.selectors import list_audit_of
from console.lib.confirm import Effect, Question, ask
from console.lib.errors import ConsoleError
from console.lib.numbers import read_whole
from console.lib.pages import PageRequest, page, told
from console.lib.permissions import can, why_not
from console.lib.rights import OPERATE
from console.registry.models import Model
from console.registry.selectors import get_model, list_aliases, list_models, list_uploads, stable_version
from console.registry.services import create_model, update_model
from console.registry.views.figures import read_minute, read_minutes
from console.serving.selectors import cache_policy_of, list_model_rows, list_version_rows, traffic_of
from console.serving.services import archive_model, restore_model

SORTS = {"name": "name", "-updated": "-updated_at", "-versions": "-version_count", "owner": "owner"}
MOST_EVENTS = 50
TABS = ("versions", "traffic", "config", "activity")


@page()
def models(request: PageRequest) -> HttpResponse:
    query, tag = request.GET.get("q", "").strip(), request.GET.get("tag", "").strip()
    archived = request.GET.get("show") == "archived"
    sort = request.GET.get("sort", "name")
    found = list_models(query=query, tag=tag, archived=archived).order_by(SORTS.get(sort, "name"), "name")
    chosen = Paginator(found, request.user.page_size).get_page(request.GET.get("page"))
    keys = [model.pk for model in chosen]
    rows = {row.model.pk: row for row in list_model_rows(list_models(archived=archived).filter(pk__in=keys))}
    context = {
        "paged": chosen,
        "rows": [rows[key] for key in keys],
        "minutes": read_minutes(model.name for model in chosen),
        "query": query,
        "tag": tag,
        "sort": sort,
        "archived": archived,
        "active_count": Model.objects.filter(archived_at=None).count(),
        "archived_count": Model.objects.exclude(archived_at=None).count(),
        "why_not": why_not(request.user, OPERATE),
    }
    return render(request, "registry/models.html", context)


@page(OPERATE)
def new_model(request: PageRequest) -> HttpResponse:
    refusal = None
    if request.method == "POST":
        try:
            model = create_model(
                name=request.POST.get("name", "").strip(),
                description=request.POST.get("description", "").strip(),
                owner=request.POST.get("owner", "").strip(),
                tags=request.POST.get("tags", "").split(","),
                actor=request.user,
            )
        except ConsoleError as error:
            refusal = error
        else:
            return redirect("upload", model.name)
    context = {"refusal": refusal, "given": request.POST or {"name": request.GET.get("name", "")}}
    return render(request, "registry/new_model.html", context, status=422 if refusal else 200)


@page()
def model(request: PageRequest, slug: str) -> HttpResponse:
    held = get_model(slug)
    tab = request.GET.get("tab", "versions")
    if tab not in TABS:
        tab = "versions"
    rows = list_version_rows(held)
    context = {
        "model": held,
        "tab": tab,
        "rows": rows,
        "traffic": traffic_of(held),
        "stable": stable_version(held),
        "minute": read_minute(slug),
        "by_number": {row.version.number: row for row in rows},
        "live": [row for row in rows if row.live],
        "ready": [row for row in rows if row.version.ready],
        "may_operate": can(request.user, OPERATE),
        "why_not": why_not(request.user, OPERATE),
    }
    if tab == "versions":
        main = max(rows, key=lambda row: (row.percent, row.version.ready), default=None)
        units = main.version.unit_specs() if main else ()
        context |= {"show": request.GET.get("show", "all"), "uploads": list_uploads(held), "units": units}
    elif tab == "traffic":
        context["aliases"] = list_aliases(held)
    elif tab == "config":
        context |= {"cache": cache_policy_of(held), "gateway_url": settings.GATEWAY_URL}
    else:
        context["events"] = list_activity(held)
    return render(request, f"registry/model_{tab}.html", context)


def list_activity(held: Model) -> list[AuditEvent]:
    """The newest of what was done to the model, its versions and its aliases."""
    found = [event for kind in ("model", "version", "alias") for event in list_audit_of(f"{kind}/{held.name}")]
    return sorted(found, key=lambda event: -event.number)[:MOST_EVENTS]


@require_POST
@page(OPERATE)
def edit_model(request: PageRequest, slug: str) -> HttpResponse:
    held = get_model(slug)
    latency_ms, errors = request.POST.get("latency_ms", "").strip(), request.POST.get("error_percent", "").strip()
    with told(request) as say:
        try:
            changes = {
                "description": request.POST.get("description", "").strip(),
                "owner": request.POST.get("owner", "").strip(),
                "tags": request.POST.get("tags", "").split(","),
                "slo_latency_p95_s": float(latency_ms) / 1000 if latency_ms else None,
                "slo_error_percent": float(errors) if errors else None,
            }
        except ValueError:
            raise ConsoleError("A target is a number: milliseconds, or percent.") from None
        update_model(model=held, changes=changes, seen=seen_version(request), actor=request.user)
        say("Saved.")
    return redirect(f"{reverse('model', args=[slug])}?tab=config")


@page(OPERATE)
def archive(request: PageRequest, slug: str) -> HttpResponse:
    held = get_model(slug)
    if request.method == "POST":
        with told(request) as say:
            archive_model(model=held, seen=seen_version(request), actor=request.user)
            say(f"{slug} is archived. Its versions and split are kept.")
        return redirect("models")
    rows = list_version_rows(held)
    workers = sum(row.loaded_on for row in rows)
    question = Question(
        title=f"Archive {slug}?",
        text="Clients get 404 from now on. It can be restored as it was.",
        act="Archive model",
        action=reverse("archive_model", args=[slug]),
        cancel=held.get_absolute_url(),
        effects=(
            Effect(f"{sum(row.percent > 0 for row in rows)} versions stop getting traffic", "switch"),
            Effect(f"{workers} workers are unloaded", "chip"),
            Effect(f"{len(rows)} versions and their files are kept", "model"),
        ),
        fields={"seen": held.row_version},
        danger=True,
    )
    return ask(request, question)


@require_POST
@page(OPERATE)
def restore(request: PageRequest, slug: str) -> HttpResponse:
    with told(request) as say:
        restore_model(model=get_model(slug), seen=seen_version(request), actor=request.user)
        say(f"{slug} is back, as it was.")
    return redirect("model", slug)


def seen_version(request: PageRequest) -> int:
    """The row version that the form was made from; one that is missing matches nothing."""
    return read_whole(request.POST.get("seen", ""), otherwise=-1)
