"""`manage.py new_epoch`: after a database was restored from a backup."""

from typing import Any

from django.core.management.base import BaseCommand

from console.lib.outbox import begin_epoch, sweep_outbox


class Command(BaseCommand):
    help = (
        "Begin a new epoch. Run it once after restoring a database: gateways and controller have seen later documents "
        "than the backup holds, and take the restored ones only under a new epoch. Every document is published again."
    )

    def handle(self, **_: Any) -> None:
        epoch = begin_epoch()
        done = sweep_outbox()
        self.stdout.write(f"Epoch {epoch}. {done.published} documents published, {done.pending} pending.")
        for error in done.errors:
            self.stderr.write(error)
