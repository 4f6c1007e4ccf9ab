"""Traffic: when requests arrive and how large they are, from generators.

`traces.py` reads the same from files. All chance comes from the numpy generator that is passed in.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MAX_REQUESTS = 50_000_000  # of one generated stream: 400 MB of times
MAX_STRETCHES = 1_000_000  # of one rate each, that are made up


@dataclass(frozen=True, eq=False)
class Traffic:
    """n requests in the order of arrival. `at_s` rises from 0 and ends before `seconds`, the span that they stand for;
    tokens are what a trace says of a request's size, 0 where it says nothing."""

    at_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    seconds: float

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def rate(self) -> float:
        """Mean requests a second."""
        return len(self) / self.seconds if self.seconds > 0 else 0.0

    def at_rate(self, rate: float) -> "Traffic":
        """The same requests, faster or slower, so that their mean rate is `rate`. Waves and bursts keep their shape
        relative to the mean, and get shorter or longer in seconds. Raises ValueError unless `rate` is positive, and
        where the last request would be infinitely far."""
        factor = self.rate / rate if 0.0 < rate < np.inf else np.inf
        if not self.seconds * factor < np.inf:
            raise ValueError(f"Traffic at {rate} requests/s: name a positive rate at which it ends.")
        return replace(self, at_s=self.at_s * factor, seconds=self.seconds * factor)

    def repeated(self, times: int) -> "Traffic":
        """The same again and again, `times` in all: an hour's trace for a day."""
        shifts = np.repeat(np.arange(times) * self.seconds, len(self))
        return Traffic(
            np.tile(self.at_s, times) + shifts,
            np.tile(self.input_tokens, times),
            np.tile(self.output_tokens, times),
            self.seconds * times,
        )

    def between(self, start_s: float, end_s: float) -> "Traffic":
        """Those that arrive in [start_s, end_s), with times from `start_s`. Raises ValueError where that is not finite,
        or `end_s` no number."""
        if not abs(start_s) < np.inf or np.isnan(end_s):
            raise ValueError(f"From {start_s} s to {end_s} s: name a finite time, and one that is a number.")
        first, last = np.searchsorted(self.at_s, [start_s, end_s])
        return Traffic(
            self.at_s[first:last] - start_s,
            self.input_tokens[first:last],
            self.output_tokens[first:last],
            max(0.0, min(end_s, self.seconds) - start_s),
        )


def traffic_of(at_s: ArrayLike, seconds: float, input_tokens: int = 0, output_tokens: int = 0) -> Traffic:
    """Traffic of equal requests at the given times, in any order. Raises ValueError for times that are no numbers or
    outside [0, seconds], and for a span that is not finite."""
    check_span(seconds)
    times = np.sort(np.asarray(at_s, dtype=np.float64))
    if len(times) and not (times[0] >= 0.0 and times[-1] <= seconds):
        raise ValueError(f"Arrivals from {times[0]} s to {times[-1]} s do not lie in the {seconds} s they stand for.")
    return Traffic(
        times,
        np.full(len(times), input_tokens, dtype=np.int64),
        np.full(len(times), output_tokens, dtype=np.int64),
        seconds,
    )


def check_span(seconds: float) -> None:
    if not 0.0 <= seconds < np.inf:
        raise ValueError(f"A span of {seconds} s: name a finite one, not negative.")


def check_size(requests: float, stretches: float = 0.0) -> None:
    if not (requests <= MAX_REQUESTS and stretches <= MAX_STRETCHES):
        raise ValueError(
            f"This would be more than {MAX_REQUESTS:,} requests, or {MAX_STRETCHES:,} stretches: lower the rate or the "
            f"time."
        )


def merge(*streams: Traffic) -> Traffic:
    """All together, as long as the longest."""
    at_s = np.concatenate([one.at_s for one in streams] or [np.empty(0)])
    order = np.argsort(at_s, kind="stable")
    inputs = np.concatenate([one.input_tokens for one in streams] or [np.empty(0, dtype=np.int64)])
    outputs = np.concatenate([one.output_tokens for one in streams] or [np.empty(0, dtype=np.int64)])
    return Traffic(at_s[order], inputs[order], outputs[order], max((one.seconds for one in streams), default=0.0))


def poisson(rate: float, seconds: float, chance: np.random.Generator) -> Traffic:
    """Independent arrivals at one mean rate. Raises ValueError for a negative, infinite or NaN rate or length."""
    return varying([rate], seconds, chance)


def varying(rates: ArrayLike, step_s: float, chance: np.random.Generator) -> Traffic:
    """Poisson arrivals at `rates[i]` a second during [i·step_s, (i+1)·step_s): the way to play a series of measured
    rates. An empty series is no traffic. Raises ValueError for rates or steps that are negative or not finite."""
    levels = np.asarray(rates, dtype=np.float64)
    if not np.all(np.isfinite(levels) & (levels >= 0.0)):
        raise ValueError("Rates of traffic must be finite and not negative.")
    if not 0.0 <= step_s < np.inf:
        raise ValueError(f"A step of {step_s} s: name a finite one, not negative.")
    check_size(float(np.sum(levels)) * step_s)
    counts = chance.poisson(levels * step_s)
    starts = np.repeat(np.arange(len(levels)) * step_s, counts)
    return traffic_of(starts + chance.random(len(starts)) * step_s, len(levels) * step_s)


def diurnal(
    mean: float, swing: float, seconds: float, chance: np.random.Generator, period_s: float = 86_400.0
) -> Traffic:
    """A sine of days: the rate runs from mean·(1 - swing) at 0 to mean·(1 + swing) half a period later. `swing` is
    clipped to [0, 1]. Rates hold for a 288th of the period, which is five minutes of a day. Raises ValueError for a
    span or a mean that is negative or not finite, and for a period that is not positive or too short for the span."""
    check_span(seconds)
    if not 0.0 < period_s < np.inf:
        raise ValueError(f"A period of {period_s} s: name a positive one.")
    step_s, steps_of_span = period_s / 288, 288.0 * seconds / period_s
    check_size(0.0, steps_of_span)
    steps = max(1, round(steps_of_span))
    middles = (np.arange(steps) + 0.5) * step_s
    wave = 1.0 - min(max(swing, 0.0), 1.0) * np.cos(2.0 * np.pi * middles / period_s)
    return varying(mean * wave, seconds / steps, chance)


def bursts(
    base: float,
    peak: float,
    seconds: float,
    chance: np.random.Generator,
    calm_s: float = 60.0,
    burst_s: float = 6.0,
) -> Traffic:
    """Calm at `base` requests/s and bursts at `peak`, each of exponential length with the given mean: a two-state
    Markov-modulated Poisson process. Raises ValueError for negative or non-finite rates and lengths, and for bursts
    that are too many."""
    check_span(seconds)
    if not (0.0 <= base < np.inf and 0.0 <= peak < np.inf):
        raise ValueError(f"Calm at {base} requests/s and bursts at {peak}: name finite rates, not negative.")
    if not (0.0 < calm_s < np.inf and 0.0 < burst_s < np.inf):
        raise ValueError(f"Calm of {calm_s} s and bursts of {burst_s} s: name positive lengths.")
    turns = seconds / (calm_s + burst_s)
    check_size((base * calm_s + peak * burst_s) * turns, 2.0 * turns)
    parts, start_s, calm = [], 0.0, True
    while start_s < seconds:
        length_s = min(float(chance.exponential(calm_s if calm else burst_s)), seconds - start_s)
        part = poisson(base if calm else peak, length_s, chance)
        parts.append(part.at_s + start_s)
        start_s += max(length_s, 1e-6)
        calm = not calm
    return traffic_of(np.concatenate(parts or [np.empty(0)]), seconds)


def spike(
    base: float, peak: float, start_s: float, length_s: float, seconds: float, chance: np.random.Generator
) -> Traffic:
    """`base` requests/s all the time, and `peak` instead from `start_s` for `length_s`."""
    before = poisson(base, min(start_s, seconds), chance)
    during = poisson(peak, max(0.0, min(length_s, seconds - start_s)), chance)
    after = poisson(base, max(0.0, seconds - start_s - length_s), chance)
    times = [before.at_s, during.at_s + start_s, after.at_s + start_s + length_s]
    return traffic_of(np.minimum(np.concatenate(times), seconds), seconds)
