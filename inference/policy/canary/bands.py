"""Bands to draw around curves: valid at every moment at once, so a chart may be watched live without fooling anyone.

For display. A rollback is decided by the betting tests, which need far less data than two bands that part.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

from inference.sketch import value_of

SCALE = 0.85  # of the band, Howard & Ramdas' choice


@lru_cache(maxsize=64)
def dkw_constant(alpha: float) -> float:
    """C of the time-uniform Dvoretzky-Kiefer-Wolfowitz band (Howard & Ramdas, Bernoulli 2022, theorem 2).

    The smallest C for which the chance that the band is ever left is at most `alpha`:
    min over eta in (1, 2·SCALE²) with gamma² > 1 of 4 exp(-gamma² C) (1 + 1/((gamma² - 1) ln eta)), where
    gamma² = (2/eta)(SCALE - sqrt(2(eta - 1)/C))². Solved by halving. Raises ValueError unless 0 < alpha < 1.
    """
    check_alpha(alpha)
    low, high = 1.0, 1000.0
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        low, high = (low, middle) if crossing_chance(middle) <= alpha else (middle, high)
    return high


def crossing_chance(constant: float) -> float:
    """The bound above at the best eta: it has one valley, found by golden section."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    low, high = 1.0 + 1e-9, 2.0 * SCALE * SCALE - 1e-9
    while high - low > 1e-10:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if chance_at(left, constant) <= chance_at(right, constant) else (left, high)
    return min(1.0, chance_at((low + high) / 2.0, constant))


def chance_at(eta: float, constant: float) -> float:
    root = SCALE - math.sqrt(2.0 * (eta - 1.0) / constant)
    gamma_squared = 2.0 / eta * root * root
    if root <= 0.0 or gamma_squared <= 1.0:
        return math.inf
    return 4.0 * math.exp(-gamma_squared * constant) * (1.0 + 1.0 / ((gamma_squared - 1.0) * math.log(eta)))


def dkw_radius(count: int, alpha: float = 0.05) -> float:
    """How far the distribution of `count` values may be from the true one, at every count at once; at most 1."""
    if count < 1:
        return 1.0
    return min(1.0, SCALE * math.sqrt((math.log1p(math.log(count)) + dkw_constant(alpha)) / count))


def rank_radius(count: int, quantile: float, alpha: float = 0.05) -> float:
    """How far the rank of one quantile may be off, at every count at once (same paper); at most 1."""
    check_alpha(alpha)
    if count < 1:
        return 1.0
    loglog = (1.4 * math.log(math.log(2.1 * max(count, 2))) + math.log(10.0 / alpha)) / count
    return min(1.0, 1.5 * math.sqrt(quantile * (1.0 - quantile) * loglog) + 0.8 * loglog)


def quantile_interval(bins: Mapping[int, int], quantile: float, alpha: float = 0.05) -> tuple[float, float]:
    """Seconds between which a sketch's true quantile lies: (0, inf) while there is too little to say anything."""
    count = sum(bins.values())
    radius = rank_radius(count, quantile, alpha)
    return edge(bins, count, quantile - radius, 0.0), edge(bins, count, quantile + radius, math.inf)


def edge(bins: Mapping[int, int], count: int, level: float, otherwise: float) -> float:
    """The value at `level` of the sketch, or `otherwise` where the level lies outside (0, 1)."""
    if not 0.0 < level < 1.0:
        return otherwise
    seen = 0
    for place in sorted(bins):
        seen += bins[place]
        if seen >= level * count:
            return value_of(place)
    return otherwise


def ratio_interval(canary: int, control: int, weight: float, alpha: float = 0.05) -> tuple[float, float]:
    """The canary's failure ratio, under one weight, at every count at once (Lindon & Malek, arXiv 2011.03567).

    All ratios whose Dirichlet-mixture e-value B(1 + canary, 1 + control) / (theta^canary (1 - theta)^control) is under
    1/alpha, theta being the canary's share of failures. (0, inf) without failures or with a weight of 0 or 1.
    """
    check_alpha(alpha)
    if canary + control < 1 or not 0.0 < weight < 1.0:
        return 0.0, math.inf
    mixture = math.lgamma(1 + canary) + math.lgamma(1 + control) - math.lgamma(2 + canary + control)
    best = canary / (canary + control)

    def inside(theta: float) -> bool:
        if control and theta >= 1.0:  # rounded up: then the control would never fail
            return False
        fit = (canary * math.log(theta) if canary else 0.0) + (control * math.log1p(-theta) if control else 0.0)
        return mixture - fit < -math.log(alpha)

    low = boundary(inside, best, 0.0) if canary else 0.0
    high = boundary(inside, best, 1.0) if control else 1.0
    odds = weight / (1.0 - weight)
    return odds_of(low) / odds, odds_of(high) / odds


def odds_of(theta: float) -> float:
    return theta / (1.0 - theta) if theta < 1.0 else math.inf


def boundary(inside: Callable[[float], bool], within: float, outside: float) -> float:
    """Where `inside` ends between the two; a hundred halvings are past the precision of a float."""
    for _ in range(100):
        middle = (within + outside) / 2.0
        within, outside = (middle, outside) if inside(middle) else (within, middle)
    return within


def check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is a chance between 0 and 1; got {alpha}.")
