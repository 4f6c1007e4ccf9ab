"""Django's cache on Redis that does not fail with it: while Redis is away, this process counts in its own memory.

Login and its rate limits go through the cache, so an absent Redis must neither lock people out nor lift the limits.
"""

import json
import threading
import time
from typing import Any

import redis
import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

log = structlog.get_logger()

REST_S = 2.0  # after a failure, Redis is not asked again for this long: requests must not queue up on its timeout


class JsonSerializer:
    """Values as JSON: nothing that comes off a socket is unpickled."""

    def __init__(self, protocol: None = None):
        pass

    def dumps(self, value: Any) -> Any:
        return value if type(value) is int else json.dumps(value)  # a bare integer, so that INCR works on it

    def loads(self, raw: bytes) -> Any:
        return json.loads(raw)


class FallbackCache(RedisCache):
    """RedisCache whose every operation falls back to a local one."""

    def __init__(self, server: str, params: dict[str, Any]):
        super().__init__(server, params)
        self.local = LocMemCache(f"fallback:{server}", dict(params, OPTIONS={"MAX_ENTRIES": 10_000}))
        self.rests_until = 0.0
        self.lock = threading.Lock()

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self.rests_until:
            try:
                return getattr(super(), name)(*args, **kwargs)
            except redis.RedisError as error:
                with self.lock:
                    self.rests_until = time.monotonic() + REST_S
                log.warning("cache.redis_away", error=str(error), fallback="memory of this process")
        return getattr(self.local, name)(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self.call("add", *args, **kwargs))

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self.call("get", *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self.call("set", *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self.call("touch", *args, **kwargs))

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self.call("delete", *args, **kwargs))

    def get_many(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = self.call("get_many", *args, **kwargs)
        return found

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self.call("has_key", *args, **kwargs))

    def incr(self, *args: Any, **kwargs: Any) -> int:
        return int(self.call("incr", *args, **kwargs))

    def set_many(self, *args: Any, **kwargs: Any) -> list[Any]:
        missed: list[Any] = self.call("set_many", *args, **kwargs)
        return missed

    def delete_many(self, *args: Any, **kwargs: Any) -> None:
        self.call("delete_many", *args, **kwargs)

    def clear(self) -> None:
        self.call("clear")
