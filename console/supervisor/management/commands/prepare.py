"""`manage.py prepare`: what `up` needs of the database before the first page. Idempotent; one JSON line a step."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from console.accounts import services as accounts
from console.fleet import services as fleet
from console.registry import services as registry

DEMO_KEY = "demo"


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
        user, password = accounts.ensure_admin(password=os.environ.get("SWITCHYARD_ADMIN_PASSWORD", ""))
        fleet.set_pool_size(max_workers=workers, device=device)
        api_key = None
        if demo:
            api_key = accounts.ensure_demo_key(name=DEMO_KEY, known=known.get("api_key"))
            self.step("demo models", seed)
        self.say(
            {
                "admin_user": user.get_username(),
                "admin_password": password or known.get("admin_password"),
                "login_url": base_url + accounts.make_login_link(user),
                "api_key": api_key,
            }
        )

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


def seed() -> str:
    registry.seed_demo(only="minilm-v1")
    return "minilm v1; digits and the ONNX version follow"
