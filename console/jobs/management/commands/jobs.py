"""`manage.py jobs`: validation, export, demo models and demo traffic, one program."""

import logging
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
        for name in ("django_tasks", "django_tasks_db"):  # a line a poll; what operations do is logged by ours
            logging.getLogger(name).setLevel(logging.WARNING)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        watch_lifeline_in_thread(stop.set)
        run_jobs(stop)
