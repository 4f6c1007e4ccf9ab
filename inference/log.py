"""One line an event, the same in every program: text for people, JSON for machines."""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog


class PatientStderr:
    """Whatever stderr is at the moment. On a full disk, or with a reader that went away, it loses lines: a log must
    never stop the work that it tells of."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_log(program: str, log_format: str = "text", level: str = "info") -> None:
    """Set up structlog for this process. Call once, in `__main__`, before anything logs."""
    json_lines = log_format == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if json_lines else for_people(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper(), logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", PatientStderr())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(program=program)


def for_people() -> structlog.dev.ConsoleRenderer:
    """Plain tracebacks: the default ones print every local variable, secrets and thousands of lines with them."""
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )


def get_log() -> structlog.typing.FilteringBoundLogger:
    return structlog.get_logger()
