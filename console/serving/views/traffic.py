"""The form that splits a model's traffic."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.lib.errors import Invalid
from console.lib.numbers import read_whole
from console.lib.pages import PageRequest, page, told
from console.lib.rights import OPERATE
from console.lib.undo import Undo
from console.registry.selectors import get_model
from console.serving.selectors import traffic_of
from console.serving.services import TrafficChange
from console.serving.services import set_traffic as change_traffic


@require_POST
@page(OPERATE)
def set_traffic(request: PageRequest, slug: str) -> HttpResponse:
    """Fields are named w<version>; an empty one is 0."""
    model = get_model(slug)
    assignment = traffic_of(model).assignment
    with told(request) as say:
        change = change_traffic(
            model=model,
            weights=read_weights(request),
            seen=read_whole(request.POST.get("seen", ""), otherwise=-1),
            assignment=request.POST.get("assignment"),
            actor=request.user,
        )
        said = f"{change.moved_percent:g}% of the traffic moves, as far as its versions are loaded."
        say(said, undo_traffic(slug, change, assignment))
    return redirect(f"{reverse('model', args=[slug])}?tab=traffic")


def undo_traffic(slug: str, change: TrafficChange, assignment: str) -> Undo:
    weights = {f"w{number}": percent for number, percent in change.before.items()}
    return Undo(reverse("set_traffic", args=[slug]), {**weights, "seen": change.row_version, "assignment": assignment})


def read_weights(request: PageRequest) -> dict[int, float]:
    weights = {}
    for name, value in request.POST.items():
        number = read_whole(name[1:], otherwise=0)
        if name[:1] == "w" and number:
            try:
                weights[number] = float(str(value) or 0)
            except ValueError:
                raise Invalid(f"{value!r} is not a percentage.") from None
    return weights
