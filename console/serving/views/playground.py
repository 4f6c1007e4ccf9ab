"""Try a model: a form made from its signature, a real request through the gateway, the answer explained."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from console.lib.errors import ConsoleError, Invalid
from console.lib.pages import PageRequest, page, wants_fragment
from console.lib.rights import INFER
from console.registry.models import Model, Version
from console.registry.selectors import get_model, list_aliases, list_models, list_versions, resolve_version
from console.serving.choices import InputKind
from console.serving.oip import request_from_values
from console.serving.selectors import InputField, get_version_row, playground_inputs, traffic_of
from console.serving.services import infer
from console.serving.snippets import snippets
from console.serving.views.answers import Shown, show_answer

ROUTED = ""  # the traffic decides
PNG = "data:image/png;base64,"
MAX_HELD = 64 * 1024  # characters of a picture that the page carries, in its form and its snippets
MAX_PICTURE_BYTES = 6 * 1024**2


@dataclass
class Filled:
    """A field of the form with what stands in it."""

    field: InputField
    text: str

    @property
    def id(self) -> str:
        return f"in-{self.field.name}"

    @property
    def held(self) -> str:
        """What the form carries back; a large picture is chosen again instead."""
        return self.text if len(self.text) <= MAX_HELD else ""


@page(INFER)
def playground(request: PageRequest) -> HttpResponse:
    models = list(list_models())
    given = request.POST if request.method == "POST" else request.GET
    chosen = given.get("model", "")
    if not models:
        return render(request, "serving/playground.html", {"models": models})
    model = get_model(chosen) if chosen else prefer_served(models)
    target = given.get("target", ROUTED)
    version = shown_version(model, target)
    context: dict[str, Any] = {
        "models": models,
        "model": model,
        "target": target,
        "aliases": list_aliases(model),
        "versions": list_versions(model).filter(state="ready"),
        "version": version,
        "served": traffic_of(model).serving,
    }
    if version is None:
        return render(request, "serving/playground.html", context)
    fields = [Filled(field, filled_text(request, field)) for field in playground_inputs(version)]
    context |= {"fields": fields, "row": get_version_row(version), **run(request, model, version, target, fields)}
    part = request.method == "POST" and wants_fragment(request)
    return render(request, "serving/_result.html" if part else "serving/playground.html", context)


def run(request: PageRequest, model: Model, version: Version, target: str, fields: list[Filled]) -> dict[str, Any]:
    """Snippets of what the form says, and its answer where it was sent."""
    sent = request.method == "POST"
    shown: Shown | None = None
    refusal, code = "", {}
    try:
        body = request_from_values(version.signature_spec(), {one.field.name: elements(one) for one in fields})
        if all(len(one.text) <= MAX_HELD for one in fields):
            code = snippets(model=model, body=body, version=target or None)
        if sent:
            shown = show_answer(infer(model=model, body=body, actor=request.user, version=target or None))
    except ConsoleError as error:
        refusal = str(error) if sent else ""
    return {"shown": shown, "refusal": refusal, "code": code}


def prefer_served(models: list[Model]) -> Model:
    """The first that answers; a newcomer should not begin with one that cannot."""
    return next((model for model in models if traffic_of(model).serving), models[0])


def shown_version(model: Model, target: str) -> Version | None:
    """Whose signature makes the form: the one named, else the one with most of the traffic, else the newest."""
    if target:
        return resolve_version(model, target)
    weights = traffic_of(model).weights
    if weights:
        return weights[0].version
    return list_versions(model).filter(state="ready").first()


def filled_text(request: PageRequest, field: InputField) -> str:
    """What was sent last, else the address's, else the example; a picture as base64, so that it can be sent again."""
    sent = request.method == "POST"
    if field.kind is not InputKind.IMAGE:
        return request.POST.get(f"in-{field.name}", "") if sent else request.GET.get(f"in-{field.name}", field.example)
    if not sent:
        return field.example.removeprefix(PNG) if field.example.startswith(PNG) else ""
    file = request.FILES.get(f"in-{field.name}")
    if file is None:
        return request.POST.get(f"held-{field.name}", "")
    return base64.b64encode(file.read(MAX_PICTURE_BYTES)).decode()


def elements(filled: Filled) -> list[Any]:
    """The flat list of elements that stands in a field: a line is a text, a picture is one element."""
    if filled.field.kind is InputKind.TEXT:
        return [line for line in filled.text.splitlines() if line.strip()]
    if filled.field.kind is InputKind.IMAGE:
        return [{"b64": filled.text}] if filled.text else []
    return numbers(filled)


def numbers(filled: Filled) -> list[Any]:
    """Numbers with commas or spaces between them, brackets as one likes; true and false for BOOL."""
    words = filled.text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    try:
        return [json.loads(word.lower()) for word in words]
    except (ValueError, RecursionError):
        raise Invalid.field(filled.field.name, f"{filled.field.name!r} takes numbers with commas between.") from None
