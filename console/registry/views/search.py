"""Search or jump to: models, versions, pages and actions. A page by itself, and the list of the palette."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from console.lib.pages import PageRequest, page, wants_fragment
from console.lib.permissions import can
from console.lib.templatetags.shell import PAGES
from console.registry.choices import NAME_PATTERN
from console.registry.models import Model
from console.registry.selectors import list_models

MOST = 8  # of each kind


@dataclass(frozen=True)
class Hit:
    label: str
    hint: str
    icon: str
    url: str


@page()
def search(request: PageRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip().lower()
    found = list(list_models(query=query)[:MOST])
    groups = [
        (
            "Models",
            [Hit(model.name, model.owner or "model", "model", model.get_absolute_url()) for model in found],
        ),
        ("Do", find_actions(request, query, found)),
        ("Pages", find_pages(query)),
    ]
    context = {"query": query, "groups": [(title, hits) for title, hits in groups if hits]}
    return render(request, "registry/_hits.html" if wants_fragment(request) else "registry/search.html", context)


def find_pages(query: str) -> list[Hit]:
    every = [page for pages in PAGES.values() for page in pages if page.exists]
    hits = [Hit(page.label, f"G {page.key.upper()}", page.icon, page.url) for page in every]
    hits += [
        Hit("API keys", "settings", "key", reverse("settings", args=["api-keys"])),
        Hit("System", "settings", "gear", reverse("settings", args=["system"])),
        Hit("API reference", "OpenAPI", "list", "/api/docs/"),
    ]
    return [hit for hit in hits if query in hit.label.lower()][:MOST]


def find_actions(request: PageRequest, query: str, models: list[Model]) -> list[Hit]:
    """What can be done with the models that were found, once there is something to go by."""
    if not query:
        return []
    hits = [
        Hit(f"Try {model.name}", "playground", "play", f"{reverse('playground')}?model={model.name}")
        for model in models[:3]
    ]
    if can(request.user, "operate"):
        hits += [
            Hit(f"Upload a version of {model.name}", "", "upload", reverse("upload", args=[model.name]))
            for model in models[:3]
        ]
        if NAME_PATTERN.match(query) and not any(model.name == query for model in models):
            hits.append(Hit(f"Register a model named {query}", "", "plus", f"{reverse('new_model')}?name={query}"))
    return hits
