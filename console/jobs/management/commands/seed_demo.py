"""`manage.py seed_demo [--only minilm-v1]`: register the demo models; the ones not named follow as jobs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.jobs import services
from console.lib.errors import ConsoleError


class Command(BaseCommand):
    help = "Register the demo models: the named one now, the others as jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", choices=services.DEMO_RECIPES, help="make this one here and now")

    def handle(self, *args: Any, only: str | None, **options: Any) -> None:
        try:
            self.stdout.write(services.seed_demo(only=only))
        except ConsoleError as error:
            raise CommandError(str(error)) from error
