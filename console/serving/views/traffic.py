"""The form that splits a model's traffic."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.lib.errors import Invalid
from console.lib.numbers import read_whole
from console.lib.pages import PageRequest, page, told
from console.lib.rights import OPERATE
from console.registry.selectors import get_model
from console.serving.services import set_traffic as change_traffic


@require_POST
@page(OPERATE)
def set_traffic(request: PageRequest, slug: str) -> HttpResponse:
    """Fields are named w<version>; an empty one is 0."""
    with told(request) as say:
        change = change_traffic(
            model=get_model(slug),
            weights=read_weights(request),
            seen=read_whole(request.POST.get("seen", ""), otherwise=-1),
            assignment=request.POST.get("assignment"),
            actor=request.user,
        )
        say(f"{change.moved_percent:g}% of the traffic moves, as far as its versions are loaded.")
    return redirect(f"{reverse('model', args=[slug])}?tab=traffic")


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
