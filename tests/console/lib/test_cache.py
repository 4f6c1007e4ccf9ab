"""The cache that outlives Redis."""

import redis
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache


def test_values_go_through_redis_as_json(valkey):
    cache = caches["default"]
    cache.set("name", {"a": [1, 2.5, None, "ö"]}, timeout=60)
    assert cache.get("name") == {"a": [1, 2.5, None, "ö"]}
    with redis.Redis.from_url(valkey) as client:
        assert client.get(cache.make_key("name")) == b'{"a": [1, 2.5, null, "\\u00f6"]}'


def test_without_redis_it_counts_in_this_process(settings, short_tmp):
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": f"unix://{short_tmp}/nobody.sock"}}
    cache = caches["default"]
    assert isinstance(cache, RedisCache)
    assert cache.add("tries", 0, timeout=60)
    assert [cache.incr("tries"), cache.incr("tries")] == [1, 2]
    assert cache.get("tries") == 2
    assert not cache.add("tries", 0, timeout=60)
    cache.delete("tries")
    assert cache.get("tries") is None


def test_it_goes_back_to_redis_when_that_is_back(valkey, settings, short_tmp):
    here = settings.CACHES["default"]["LOCATION"]
    cache = caches["default"]
    cache.set("name", "before")
    cache._servers[:] = [f"unix://{short_tmp}/nobody.sock"]
    del cache._cache
    assert cache.get("name") is None
    cache._servers[:] = [here]
    del cache._cache
    cache.rests_until = 0.0  # two seconds later
    assert cache.get("name") == "before"
