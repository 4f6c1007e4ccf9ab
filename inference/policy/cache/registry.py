"""The strategies by name. A new one is a file and a line here."""

from collections.abc import Callable

from inference.policy.cache.adaptive import Adaptive
from inference.policy.cache.arc import Arc
from inference.policy.cache.fifo import Fifo
from inference.policy.cache.lfu import Lfu
from inference.policy.cache.lru import Lru
from inference.policy.cache.s3fifo import S3Fifo
from inference.policy.cache.sieve import Sieve
from inference.policy.cache.strategy import Strategy
from inference.policy.cache.wtinylfu import WTinyLfu

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "lru": Lru,
    "lfu": Lfu,
    "fifo": Fifo,
    "arc": Arc,
    "s3fifo": S3Fifo,
    "sieve": Sieve,
    "wtinylfu": WTinyLfu,
    "adaptive": Adaptive,
}


def make_strategy(name: str) -> Strategy:
    """Raises ValueError for a name that is none."""
    if name not in STRATEGIES:
        raise ValueError(f"There is no cache strategy {name!r}; there are {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]()
