"""`manage.py set_pool default --device cpu --max-workers 8`: make a pool, or change it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.fleet.services import set_pool
from console.lib.actors import SYSTEM
from console.lib.errors import Invalid


class Command(BaseCommand):
    help = "Make a pool or change it; what is not given stays as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--device", action="append", dest="devices", metavar="DEVICE", help="cpu or cuda:0; repeat")
        parser.add_argument("--max-workers", type=int)
        parser.add_argument("--spares", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            pool = set_pool(
                actor=SYSTEM,
                name=options["name"],
                devices=options["devices"],
                max_workers=options["max_workers"],
                spares=options["spares"],
            )
        except Invalid as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"pool {pool.name}: {', '.join(pool.devices)}, up to {pool.max_workers} workers, {pool.spares} spares"
        )
