"""Names that point at versions."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.lib.pages import PageRequest, page, told
from console.lib.rights import OPERATE
from console.lib.undo import Undo
from console.registry.selectors import get_alias, get_model, list_aliases, resolve_version
from console.registry.services import delete_alias, set_alias
from console.registry.views.models import seen_version


def to_aliases(slug: str) -> HttpResponse:
    return redirect(f"{reverse('model', args=[slug])}?tab=traffic")


def place_url(slug: str) -> str:
    return reverse("place_alias", args=[slug])


@require_POST
@page(OPERATE)
def place(request: PageRequest, slug: str) -> HttpResponse:
    """Make a name, or move one: the form of an existing alias carries the row version it was made from."""
    held = get_model(slug)
    name = request.POST.get("name", "").strip()
    known = list_aliases(held).filter(name__iexact=name).first()
    before = known.version.number if known else None
    with told(request) as say:
        alias = set_alias(
            model=held,
            name=name,
            to=resolve_version(held, request.POST.get("version", "")),
            seen=seen_version(request) if known else 0,
            actor=request.user,
        )
        said = f"{alias.name} points at v{alias.version.number}."
        if before is None:
            say(said, Undo(reverse("remove_alias", args=[slug, alias.name]), {"seen": alias.row_version}))
        else:
            say(said, Undo(place_url(slug), {"name": name, "version": before, "seen": alias.row_version}))
    return to_aliases(slug)


@require_POST
@page(OPERATE)
def remove(request: PageRequest, slug: str, name: str) -> HttpResponse:
    alias = get_alias(get_model(slug), name)
    undo = Undo(place_url(slug), {"name": alias.name, "version": alias.version.number})
    with told(request) as say:
        delete_alias(alias=alias, seen=seen_version(request), actor=request.user)
        say(f"The alias {name} is gone.", undo)
    return to_aliases(slug)
