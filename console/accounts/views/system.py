"""The deployment itself: versions, health, storage, demo models and demo traffic."""

import platform

import django
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.fleet.selectors import list_gateways
from console.jobs.choices import OperationKind
from console.jobs.selectors import demo_traffic, list_operations
from console.jobs.services import remove_demo, start_demo, start_demo_traffic, stop_demo_traffic
from console.lib.confirm import Effect, Question, ask
from console.lib.health import check_dependencies
from console.lib.pages import PageRequest, back, page, told
from console.lib.permissions import why_not
from console.lib.rights import ADMIN, OPERATE
from console.registry.models import Model, Version
from console.registry.selectors import get_model, list_models, storage_quota_bytes, storage_used_bytes

RATE_PER_S, SECONDS = 20.0, 180.0  # of demo traffic: enough to see, and it ends by itself


def show(request: PageRequest) -> HttpResponse:
    used, quota = storage_used_bytes(), storage_quota_bytes()
    context = {
        "section": "system",
        "checks": check_dependencies(),
        "gateways": list_gateways(),
        "versions": [
            ("Switchyard", settings.VERSION),
            ("Python", platform.python_version()),
            ("Django", django.get_version()),
            ("Machine", f"{platform.system()} {platform.machine()}"),
        ],
        "environment": settings.ENVIRONMENT,
        "data_dir": settings.DATA_DIR,
        "used_bytes": used,
        "quota_bytes": quota,
        "used_percent": 100 * used / quota if quota else 0.0,
        "demo_models": Model.objects.filter(demo=True),
        "making": list_operations(kind=OperationKind.DEMO)[:3],
        "traffic": demo_traffic(),
        "models": list_models(),
        "operations": list_operations()[:8],
        "why_not": why_not(request.user, OPERATE),
        "why_not_admin": why_not(request.user, ADMIN),
    }
    return render(request, "accounts/system.html", context)


def to_system(request: PageRequest) -> HttpResponse:
    return back(request, reverse("settings", args=["system"]))


@require_POST
@page(OPERATE)
def load_demo(request: PageRequest) -> HttpResponse:
    with told(request) as say:
        start_demo(actor=request.user)
        say("The demo models are being made; each appears when it is ready.")
    return to_system(request)


@page(ADMIN)
def delete_demo(request: PageRequest) -> HttpResponse:
    if request.method == "POST":
        with told(request) as say:
            names = remove_demo(actor=request.user)
            say(f"Removed {', '.join(names)}." if names else "There were no demo models.")
        return redirect("settings", "system")
    models = Model.objects.filter(demo=True)
    question = Question(
        title="Remove the demo models?",
        text="They can be loaded again at any time.",
        act="Remove demo models",
        action=reverse("delete_demo"),
        cancel=reverse("settings", args=["system"]),
        effects=(
            Effect(f"{', '.join(model.name for model in models) or 'No model'} stop being served and go", "model"),
            Effect(f"{Version.objects.filter(model__in=models).count()} versions and their files go", "cache"),
        ),
        danger=True,
    )
    return ask(request, question)


@require_POST
@page(OPERATE)
def start_traffic(request: PageRequest) -> HttpResponse:
    """To the model that the form names, else to the first demo model."""
    named = request.POST.get("model", "")
    model = get_model(named) if named else list_models().order_by("-demo", "name").first()
    if model is None:
        return redirect("models")
    with told(request) as say:
        start_demo_traffic(model=model, rate_per_s=RATE_PER_S, seconds=SECONDS, actor=request.user)
        say(f"{RATE_PER_S:g} requests/s go to {model.name} for {SECONDS / 60:g} min, then it stops by itself.")
    return to_system(request)


@require_POST
@page(OPERATE)
def stop_traffic(request: PageRequest) -> HttpResponse:
    with told(request) as say:
        stopped = stop_demo_traffic(actor=request.user)
        say("Demo traffic stops." if stopped else "No demo traffic was running.")
    return to_system(request)
