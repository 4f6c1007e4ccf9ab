"""Connections to Redis, with waits that end.

redis-py 8 gives every socket a timeout of 5 s: a blocking read that may take longer fails as if the server were gone.
So blocking reads here block for less than their own client's timeout. Nothing is retried inside the client: callers
have loops with a back-off, and must know at once that Redis is away.
"""

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 2.0
BLOCK_S = 2.0

AWAY = (RedisError, OSError, TimeoutError)  # what a call raises when Redis is away, restarting or not itself


def connect(url: str) -> Redis:
    """For short calls."""
    return Redis.from_url(
        url, socket_timeout=CALL_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


def connect_blocking(url: str) -> Redis:
    """For reads that block up to BLOCK_S."""
    return Redis.from_url(
        url,
        socket_timeout=BLOCK_S + CALL_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def next_backoff(pause_s: float) -> float:
    """0.1 s doubled up to 2 s: a restarted Redis is found quickly, an absent one is not hammered."""
    return min(2.0, max(0.1, pause_s * 2))


def still_wanted() -> None:
    """Raise CancelledError in a task that was cancelled.

    redis-py sends through `asyncio.wait_for`, which in Python 3.11 loses a cancellation that arrives as the send ends.
    An endless loop around Redis asks here once a turn, or it might never stop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def text_of(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
