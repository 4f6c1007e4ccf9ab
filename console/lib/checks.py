"""System checks: settings that look right and do nothing, and what is fine on a laptop but not in production."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

PRAGMAS = {"journal_mode": "wal", "synchronous": "1", "busy_timeout": "5000"}


@register(Tags.database)
def check_sqlite(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """A misplaced OPTIONS key is ignored without a word, so ask the connection what is in force."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "sqlite":
            continue
        with connection.cursor() as cursor:
            for pragma, wanted in PRAGMAS.items():
                cursor.execute(f"PRAGMA {pragma}")
                held = str(cursor.fetchone()[0]).lower()
                in_memory = pragma == "journal_mode" and held == "memory"
                if held != wanted and not in_memory:
                    found.append(Error(f"SQLite has {pragma}={held}; it must be {wanted}.", id="switchyard.E001"))
        if settings.DATABASES[alias].get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE":
            found.append(Error("SQLite transactions must be IMMEDIATE, or writers fail at once.", id="switchyard.E002"))
    return found


@register(Tags.database)
def check_postgres(databases: Any = None, **_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias in databases or ():
        if connections[alias].vendor == "postgresql" and not connections[alias].settings_dict["OPTIONS"].get("pool"):
            hint = "Each request thread would open its own connection."
            found.append(Error("Postgres needs the connection pool of settings.", hint=hint, id="switchyard.E003"))
    return found


@register(Tags.security, deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    sqlite = connections["default"].vendor == "sqlite"
    embedded = is_embedded(settings.REDIS_URL, Path(settings.DATA_DIR))
    faults = [
        (sqlite, "E101", "Production needs Postgres: SQLite is one file with one writer.", "DATABASE_URL=postgres://…"),
        (embedded, "E102", "Production needs a Redis of its own, not the one embedded in `up`.", "REDIS_URL=redis://…"),
        (
            not settings.HTTPS, "E103", "Production needs HTTPS: cookies and keys travel with every request.",
            "SWITCHYARD_HTTPS=1 behind a proxy that ends TLS, and SWITCHYARD_PROXY_HEADER=the header it sets",
        ),
    ]  # fmt: skip
    return [Error(said, hint=f"Set {hint}.", id=f"switchyard.{code}") for holds, code, said, hint in faults if holds]


def is_embedded(redis_url: str, data: Path) -> bool:
    """A socket inside the data folder is the embedded one."""
    return redis_url.startswith("unix:") and Path(redis_url.removeprefix("unix://").split("?")[0]).is_relative_to(data)
