"""When the shadows of a small cache watch its requests, and when they rest.

In a small cache the sample is half of all keys, and shadows that saw all of it would cost twice what the cache does. So
they watch for a while, to learn, and then in turns: they rest, begin anew and fill up with what is asked for now, and
watch. They do not rest while whoever is in force lost to another in the last watch. Resting also steadies: where bursts
let two strategies lead by turns, fewer of the leads are seen.

All lengths are requests of the sample for each key that a shadow holds.
"""

from collections.abc import Sequence
from enum import Enum

LEARN = 100.0  # the first watch: as long as evidence lasts, `adaptive.HORIZON`
WATCH = 10.0
REST = 30.0
FILL = 4.0  # not counted
BEHIND = 0.15  # of a shadow's keys: hits in one watch by which whoever is in force may lose


class Turn(Enum):
    WATCH = "watch"
    REST = "rest"
    FILL = "fill"


class Turns:
    def __init__(self, candidates: int) -> None:
        self.turn = Turn.WATCH
        self.left = LEARN
        self.hits = [0] * candidates  # in this watch

    def advance(self, requests: int, capacity: int, current: int) -> bool:
        """The next `requests` of the sample come, for shadows of `capacity` keys, with candidate `current` in force.

        Whether shadows have to begin anew: what they held before a rest is old, and may by chance be just what a loop
        asks for next.
        """
        begin = False
        if self.left <= 0.0:
            begin = self.turn is Turn.REST
            self.change(capacity, current)
        self.left -= requests / capacity
        return begin

    def count(self, hits: Sequence[int]) -> None:
        """What each candidate hit of the requests it watched last."""
        self.hits = [before + more for before, more in zip(self.hits, hits, strict=True)]

    def change(self, capacity: int, current: int) -> None:
        if self.turn is Turn.REST:
            self.turn, self.left = Turn.FILL, FILL
            return
        if self.turn is Turn.WATCH and max(self.hits) - self.hits[current] <= BEHIND * capacity:
            self.turn, self.left = Turn.REST, REST
        else:
            self.turn, self.left = Turn.WATCH, WATCH
        self.hits = [0] * len(self.hits)
