"""What a strategy is: the order in which keys leave a cache that is full.

A strategy knows keys, not values, sizes or time: the cache that owns it holds those and asks it for victims until what
is new fits, be the limit one of entries or of bytes. So no strategy is told a capacity. Where one needs a share of it
(S3-FIFO's tenth, ARC's ghosts), it takes the share of what is resident when a victim is asked for, which is when the
cache is full. Shares count entries, also where sizes differ.

Keys are integers: a digest of the request read as a number. Integers hash alike in every process, so that a recorded
trace replays to the same evictions.
"""

from collections.abc import Iterator
from typing import Protocol


class Strategy(Protocol):
    """Each method takes O(1), amortised. The caller tells of every hit, and of residents only."""

    @property
    def rule(self) -> str:
        """Who leaves first, in a few words for people who ask why."""

    def hit(self, key: int) -> None:
        """`key` is resident and was asked for."""

    def add(self, key: int) -> None:
        """`key` was asked for, was not resident, and is so from now on."""

    def evict(self, incoming: int) -> int:
        """Choose a resident to make room for `incoming`, and forget it; it may live on as a ghost. KeyError if none."""

    def remove(self, key: int) -> None:
        """`key` left for another reason: expired, purged or replaced. No ghost stays. KeyError if it is no resident."""

    def __iter__(self) -> Iterator[int]:
        """Residents, about in the order in which they would leave if nobody asked for anything any more."""
