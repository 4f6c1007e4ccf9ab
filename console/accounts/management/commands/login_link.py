"""`manage.py login_link USER`: a link that logs them in once, for who lost the password."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.accounts.models import User
from console.accounts.services import create_login_link
from console.lib.actors import SYSTEM
from console.lib.errors import NotAllowed


class Command(BaseCommand):
    help = "Print a link that logs USER in once, within ten minutes."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--base", default="http://127.0.0.1:8000", help="where the console is reached")

    def handle(self, *, username: str, base: str, **_: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            known = ", ".join(User.objects.order_by("username").values_list("username", flat=True)[:20])
            raise CommandError(f"There is no user {username!r}. Known: {known or 'nobody yet; run create_admin'}.")
        try:
            path = create_login_link(actor=SYSTEM, user=user)
        except NotAllowed as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(base.rstrip("/") + path)
