"""`manage.py create_admin`: the first admin of a deployment."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from console.accounts.services import create_admin


class Command(BaseCommand):
    help = "Make the first admin. The password is SWITCHYARD_ADMIN_PASSWORD, or made up and printed this once."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--username", default="admin")

    def handle(self, *, username: str, **_: Any) -> None:
        user, password = create_admin(username=username)
        if password is None:
            self.stdout.write(f"There is a user {user.username} already. Locked out? manage.py login_link")
        else:
            self.stdout.write(f"User {user.username}, password {password}")
