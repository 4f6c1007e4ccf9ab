"""One version, and what can be done to it: given all traffic, loaded, annotated, put away, removed."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.accounts.selectors import list_audit_of
from console.jobs.choices import OperationKind
from console.jobs.selectors import open_operation
from console.lib.confirm import Effect, Question, ask
from console.lib.pages import PageRequest, page, told
from console.lib.permissions import can, why_not
from console.lib.rights import OPERATE
from console.lib.undo import Undo
from console.registry.models import Version
from console.registry.selectors import get_model, get_version, list_files, stable_version
from console.registry.services import archive_version, delete_version, restore_version, update_notes
from console.registry.views.models import seen_version
from console.serving.selectors import get_version_row, traffic_of
from console.serving.services import TrafficChange, keep_loaded, release_version, set_stable_version


def find(slug: str, number: int) -> Version:
    return get_version(get_model(slug), number)


@page()
def version(request: PageRequest, slug: str, number: int) -> HttpResponse:
    held = find(slug, number)
    context = {
        "model": held.model,
        "version": held,
        "row": get_version_row(held),
        "signature": held.signature_spec() if held.signature else None,
        "stages": held.stage_specs(),
        "units": held.unit_specs(),
        "files": list_files(held),
        "operation": open_operation(OperationKind.VALIDATE, f"{slug}/{number}"),
        "events": list_audit_of(held.audit_subject, limit=8),
        "may_operate": can(request.user, OPERATE),
        "why_not": why_not(request.user, OPERATE),
    }
    return render(request, "registry/version.html", context)


@page(OPERATE)
def set_stable(request: PageRequest, slug: str, number: int) -> HttpResponse:
    """All traffic to this version. The question says in numbers what moves."""
    held = find(slug, number)
    traffic = traffic_of(held.model)
    if request.method == "POST":
        with told(request) as say:
            change = set_stable_version(model=held.model, to=held, seen=seen_version(request), actor=request.user)
            before = f", v{change.stable_before} before" if change.stable_before else ""
            say(f"v{number} is stable{before}. It takes over when it is loaded.", undo_stable(slug, change))
        return redirect("model", slug)
    row = get_version_row(held)
    stable = stable_version(held.model)
    moved = 100 - row.percent
    effects = [Effect(f"{moved:g}% of the traffic moves to v{number}", "switch")]
    effects += [
        Effect(f"v{weight.version.number} goes from {weight.percent:g}% to 0%", "down-right")
        for weight in traffic.weights
        if weight.version.pk != held.pk
    ]
    if row.loaded_on:
        workers = f"{row.loaded_on} worker{'s' if row.loaded_on > 1 else ''}"
        effects.append(Effect(f"v{number} is loaded on {workers}, so this takes effect at once", "chip"))
    else:
        effects.append(Effect(f"v{number} is not loaded yet: the old split stays until it answers", "hourglass"))
    if stable and stable.pk != held.pk:
        effects.append(Effect(f"The alias stable moves from v{stable.number} to v{number}", "flat"))
    question = Question(
        title=f"Make v{number} stable?",
        text=f"Clients of {slug} that name no version get v{number}.",
        act=f"Move all traffic to v{number}",
        action=reverse("set_stable", args=[slug, number]),
        cancel=held.get_absolute_url(),
        effects=tuple(effects),
        fields={"seen": traffic.row_version},
        blocked="" if held.ready else f"v{number} is {held.get_state_display().lower()}, so it cannot be loaded.",
    )
    return ask(request, question)


def undo_stable(slug: str, change: TrafficChange) -> Undo | None:
    """The version before takes all again. A split cannot be given back in one act together with the alias."""
    number = change.stable_before
    if number is None or number == change.stable_after or change.before != {number: 100.0}:
        return None
    return Undo(reverse("set_stable", args=[slug, number]), {"seen": change.row_version})


@require_POST
@page(OPERATE)
def load(request: PageRequest, slug: str, number: int) -> HttpResponse:
    with told(request) as say:
        keep_loaded(version=find(slug, number), actor=request.user)
        say(f"v{number} is being loaded and stays addressable by its number.")
    return redirect("version", slug, number)


@require_POST
@page(OPERATE)
def unload(request: PageRequest, slug: str, number: int) -> HttpResponse:
    with told(request) as say:
        kept = release_version(version=find(slug, number), actor=request.user)
        undo = Undo(reverse("load_version", args=[slug, number])) if kept else None
        say(f"v{number} is unloaded; its workers end and give their memory back.", undo)
    return redirect("version", slug, number)


@require_POST
@page(OPERATE)
def notes(request: PageRequest, slug: str, number: int) -> HttpResponse:
    with told(request) as say:
        update_notes(
            version=find(slug, number),
            notes=request.POST.get("notes", ""),
            seen=seen_version(request),
            actor=request.user,
        )
        say("Notes saved.")
    return redirect("version", slug, number)


@require_POST
@page(OPERATE)
def archive(request: PageRequest, slug: str, number: int) -> HttpResponse:
    held = find(slug, number)
    change = restore_version if held.archived_at else archive_version
    with told(request) as say:
        change(version=held, seen=seen_version(request), actor=request.user)
        say(f"v{number} is {'archived' if held.archived_at else 'back'}.")
    return redirect("version", slug, number)


@page(OPERATE)
def delete(request: PageRequest, slug: str, number: int) -> HttpResponse:
    held = find(slug, number)
    if request.method == "POST":
        if request.POST.get("typed") != f"v{number}":
            raise Http404(f"Type v{number} to delete it.")
        with told(request) as say:
            delete_version(version=held, seen=seen_version(request), actor=request.user)
            say(f"v{number} of {slug} is deleted.")
        return redirect("model", slug)
    files = list_files(held)
    question = Question(
        title=f"Delete v{number} of {slug}?",
        text="This cannot be undone. The number is never given again.",
        act="Delete version",
        action=reverse("delete_version", args=[slug, number]),
        cancel=held.get_absolute_url(),
        effects=(
            Effect(f"{len(files)} files go, unless another version has them too", "model"),
            Effect("Its lines in the audit stay", "audit"),
        ),
        fields={"seen": held.row_version},
        danger=True,
        typed=f"v{number}",
    )
    return ask(request, question)
