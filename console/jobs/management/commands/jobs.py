"""`manage.py jobs`: validation, export, demo models and demo traffic, one program."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from console.jobs.worker import run_jobs
from inference.config import Config
from inference.lifeline import watch_lifeline_in_thread
from inference.log import configure_log


class Command(BaseCommand):
    help = "Run long work until told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        config = Config.from_env()
        configure_log("jobs", config.log_format, config.log_level)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        watch_lifeline_in_thread(stop.set)
        run_jobs(stop)
