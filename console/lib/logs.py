"""The standard library's log records, of Django and its packages, as lines of ours."""

import logging
from typing import Any

import structlog

QUIET = ("django.request", "django.server", "asyncio", "uvicorn.access")  # said by our own line a request, with its id


class ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        failure = record.exc_info if record.exc_info and record.exc_info[0] else None
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=failure)


def configure_django(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook: one handler on the root; errors of requests keep their stack."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, ToStructlog)] + [ToStructlog()]
    root.setLevel(getattr(logging, str(config["level"]).upper(), logging.INFO))
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
