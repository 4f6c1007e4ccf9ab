"""How long a batch takes, and what follows from it for one batch. How replicas share the rows is in `sharing`.

Work waits in the gateway until a replica is free (late binding). `LatencyModel` learns how long a batch of b rows takes
and how far off that usually is; so it is known how many rows a deadline bears.

A replica that already runs a batch may get a second one, so that it need not wait for us when the first is done. That
pays only when every replica is busy, and only while a batch is short against the time a frame travels: a long one would
bind requests to a replica that may turn out the slower.
"""

from math import inf, sqrt

from inference.spec import BatchPolicy

PRIORITY_LEVELS = 5  # 1 is served first
DEFAULT_LEVEL = 3  # of a request that names none: there is room above it and below
SECOND_SLOT_S = 0.002  # a batch shorter than this is worth preparing ahead
MEMORY = 0.98  # weight of what was known before, a batch
SURPRISES, LEAST_SURPRISE = 3, 0.2  # in a row, each off by more than the margin and the least: the device has changed
SURE = 3.3  # standard deviations that 99.9 % of batches stay below, where their times are about normal
GUESSED_ERROR, GUESSED_BATCHES = 0.06, 4.0  # what is taken for its error, as if seen so often, until more is seen
WIDEST = 1.0  # of a margin: a model that is off by more than all of its prediction is of no use for refusing
LONGEST_S = 86_400.0  # of a batch: a longer time is a clock that jumped, and would outweigh all the others


def level_of(priority: int) -> int:
    """The level of a request's `priority`: 0 asks for the default, what is beyond the last level is on the last."""
    return min(priority, PRIORITY_LEVELS) if priority else DEFAULT_LEVEL


def wait_s(waiting: int, oldest_age_s: float, left_s: float, policy: BatchPolicy) -> float:
    """How long to hold a batch back for more to come: 0 without `max_wait_s`, when full, or when it waited enough, and
    never longer than `left_s`, after which the first deadline would pass."""
    if not policy.max_wait_s or waiting >= policy.max_size:
        return 0.0
    return max(0.0, min(policy.max_wait_s - oldest_age_s, left_s))


class LatencyModel:
    """l(b) = a + c·b, fitted by least squares in which old batches fade. Owned by the caller; has no clock.

    `margin` is learned beside it, from how far batches lie from the line: the part by which a batch takes longer than
    predicted at most one time in a thousand.
    """

    def __init__(self) -> None:
        self.weight = self.rows = self.rows_squared = self.seconds = self.rows_seconds = 0.0
        self.base_s = self.row_s = 0.0
        self.judged = GUESSED_BATCHES
        self.squared_error = GUESSED_BATCHES * GUESSED_ERROR**2
        self.margin = 0.0
        self.surprises = 0  # in a row: above the line positive, below it negative

    def observe(self, rows: int, seconds: float) -> None:
        """A batch took so long. One of no rows, or of a time that is no number from 0 to LONGEST_S, is not believed."""
        if rows < 1 or not 0.0 <= seconds <= LONGEST_S:
            return
        memory = self.note_surprise(seconds, self.base_s + self.row_s * rows)
        self.weight = self.weight * memory + 1.0
        self.rows = self.rows * memory + rows
        self.rows_squared = self.rows_squared * memory + rows * rows
        self.seconds = self.seconds * memory + seconds
        self.rows_seconds = self.rows_seconds * memory + rows * seconds
        mean_rows, mean_s = self.rows / self.weight, self.seconds / self.weight
        spread = self.rows_squared / self.weight - mean_rows * mean_rows
        # With one batch size only, its mean is all that is known; a slope under zero is noise.
        slope = (self.rows_seconds / self.weight - mean_rows * mean_s) / spread if spread > 1e-9 else 0.0
        self.row_s = max(0.0, min(slope, mean_s / mean_rows))
        self.base_s = max(0.0, mean_s - self.row_s * mean_rows)  # rounding may leave a hair less than nothing
        fitted_s = self.base_s + self.row_s * rows
        error = seconds / fitted_s - 1.0 if fitted_s > 0.0 else 0.0
        self.judged = self.judged * MEMORY + 1.0
        self.squared_error = self.squared_error * MEMORY + error * error
        self.margin = min(SURE * sqrt(self.squared_error / self.judged), WIDEST)

    def note_surprise(self, seconds: float, expected_s: float) -> float:
        """How much of what was known is kept. One batch far off the line is an accident; several in a row, all to the
        same side, are a device that has become another: then all that was known weighs as one batch."""
        error = seconds / expected_s - 1.0 if expected_s > 0.0 else 0.0
        if abs(error) <= max(self.margin, LEAST_SURPRISE):
            self.surprises = 0
        else:
            side = 1 if error > 0.0 else -1
            self.surprises = self.surprises + side if self.surprises * side > 0 else side
        return MEMORY if abs(self.surprises) < SURPRISES else min(MEMORY, 1.0 / self.weight)

    @property
    def known(self) -> bool:
        return self.weight > 0.0

    def predict_s(self, rows: int) -> float:
        """Seconds that a batch of `rows` takes; 0 while nothing is known, so that nobody is refused on a guess."""
        return self.base_s + self.row_s * rows

    def bound_s(self, rows: int) -> float:
        """Seconds that a batch of `rows` stays within, but for one in a thousand."""
        return (self.base_s + self.row_s * rows) * (1.0 + self.margin)

    def rows_within(self, left_s: float) -> float:
        """The most rows whose bound is within `left_s`; 0 where even one comes too late, or `left_s` is no number;
        infinity where all do."""
        spare_s = left_s / (1.0 + self.margin) - self.base_s
        if not spare_s >= self.row_s:
            return 0
        return spare_s // self.row_s if self.row_s > 0.0 and spare_s < inf else inf

    def mean_s(self) -> float:
        return self.seconds / self.weight if self.weight else 0.0


def worth_second_slot(model: LatencyModel, on_cuda: bool) -> bool:
    """Whether a busy replica should get its next batch before it has answered the last."""
    return on_cuda or not model.known or model.mean_s() < SECOND_SLOT_S


def rows_in_time(model: LatencyModel, rows: int, left_s: float) -> int:
    """The most rows, up to `rows`, that are done within `left_s` as predicted, without the margin; 0 where even one
    comes too late."""
    within = model.rows_within(left_s * (1.0 + model.margin))
    return rows if within >= rows else int(within)
