"""`manage.py prepare`: what `up` needs of the database before the first page. Idempotent; one JSON line a step."""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from console.accounts import services as accounts
from console.accounts.models import ApiKey, User
from console.fleet import services as fleet
from console.fleet.models import Pool
from console.jobs import services as jobs
from console.lib.actors import SYSTEM
from console.registry.models import Model
from console.serving.selectors import traffic_of

POOL = "default"
DEMO_KEY = "demo"
FIRST = "minilm-v1"
FIRST_MODEL = "minilm"
DEMO_SCOPES = ("read", "infer")


class Command(BaseCommand):
    help = "Migrate, make the admin and the demo key, set the pool, seed the first demo model. Used by `up`."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--base-url", required=True, help="address of the console, for the login link")
        parser.add_argument("--workers", type=int)
        parser.add_argument("--device", default="")
        parser.add_argument("--demo", action="store_true")

    def handle(self, *, base_url: str, workers: int | None, device: str, demo: bool, **_: Any) -> None:
        known = json.loads(sys.stdin.read() or "{}")
        self.step("database", migrate)
        user, password = accounts.create_admin()
        first_start = password is not None
        size_pool(workers, device)
        api_key = None
        if demo:
            api_key = demo_key(user, known.get("api_key") or "")
            self.step("demo models", seed if first_start or has_demo() else leave_removed)
        link = accounts.create_login_link(actor=SYSTEM, user=user)
        password = password or still_valid(user, known.get("admin_password") or "")
        facts = {"admin_user": user.get_username(), "admin_password": password}
        self.say(facts | {"login_url": base_url + link, "api_key": api_key, "first_model": first_model(demo)})

    def step(self, name: str, work: Callable[[], str]) -> None:
        began = time.monotonic()
        detail = work()
        self.say({"step": name, "detail": detail, "seconds": time.monotonic() - began})

    def say(self, fact: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(fact))
        self.stdout.flush()


def migrate() -> str:
    call_command("migrate", verbosity=0, interactive=False)
    return "migrated"


def size_pool(workers: int | None, device: str) -> None:
    """The one pool of this machine; flags change it, their absence leaves it as it is."""
    held = Pool.objects.filter(name=POOL).first() or Pool(name=POOL, devices=["cpu"])
    fleet.set_pool(
        name=POOL,
        actor=SYSTEM,
        devices=[device] if device else held.devices,
        max_workers=workers or held.max_workers,
        spares=held.spares,
    )


def still_valid(user: User, password: str) -> str | None:
    """The password of the last start, unless it was changed since, by whatever way."""
    return password if password and user.check_password(password) else None


def demo_key(owner: User, known: str) -> str:
    """The demo key of the last start while it still works, else a new one: only its hash is kept here."""
    digest = hashlib.sha256(known.encode()).hexdigest()
    if known and ApiKey.objects.filter(sha256=digest, revoked_at=None).exists():
        return known
    return accounts.create_api_key(actor=SYSTEM, owner=owner, name=DEMO_KEY, scopes=DEMO_SCOPES).secret


def has_demo() -> bool:
    return Model.objects.filter(demo=True).exists()


def leave_removed() -> str:
    """Who removed the demo in the console does not want it back with the next start."""
    return "removed; `manage.py seed_demo` makes them again"


def first_model(demo: bool) -> str | None:
    """The model whose answer says that the machine serves: the demo's, while it is there and has traffic."""
    model = Model.objects.filter(name=FIRST_MODEL, archived_at=None).first() if demo else None
    return model.name if model and traffic_of(model).weights else None


def seed() -> str:
    return jobs.seed_demo(only=FIRST)
