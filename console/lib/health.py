"""Is the console well? Each dependency is asked in bounded time, and the answer says what is wrong and since when."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django.utils import timezone

from console.lib.models import OutboxMark


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    ms: float
    detail: str
    required: bool  # without it the console cannot work at all


def check_dependencies() -> list[Check]:
    return [
        run_check("database", ask_database, required=True),
        run_check("redis", ask_redis, required=False),
        run_check("outbox", ask_outbox, required=False),
    ]


def run_check(name: str, ask: Callable[[], tuple[bool, str]], *, required: bool) -> Check:
    started = time.perf_counter()
    try:
        ok, detail = ask()
    except (DatabaseError, redis.RedisError, OSError) as error:
        ok, detail = False, f"{type(error).__name__}: {error}"
    return Check(name, ok, round((time.perf_counter() - started) * 1000, 1), detail, required)


def ask_database() -> tuple[bool, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True, connection.vendor


def ask_redis() -> tuple[bool, str]:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as client:
        found: Any = client.info("server")
    return True, f"{found.get('server_name', 'redis')} {found.get('valkey_version') or found['redis_version']}"


def ask_outbox() -> tuple[bool, str]:
    """Changes that have not reached the data plane: a few for a moment is normal, for 30 s is not."""
    waiting = OutboxMark.objects.filter(pending=True).aggregate(count=Count("pk"), oldest=Min("marked_at"))
    if not waiting["count"]:
        return True, "every change is published"
    age_s = (timezone.now() - waiting["oldest"]).total_seconds()
    return age_s < 30, f"{waiting['count']} changes wait to be published, the oldest for {age_s:.0f} s"


def as_dict(checks: list[Check]) -> dict[str, Any]:
    return {check.name: {key: value for key, value in asdict(check).items() if key != "name"} for check in checks}
