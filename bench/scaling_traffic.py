"""Traffic of known shapes for scaling policies, besides traces: made from a seed, the same each time."""

from collections.abc import Callable

from numpy.random import Generator, default_rng

from inference.simulator.scaling import Workload
from inference.simulator.traffic import Traffic, bursts, diurnal, poisson, spike, traffic_of

SERVICE_MEAN_S, SERVICE_SPREAD = 4.4, 0.7  # gamma; the spread is the standard deviation over the mean

Shape = Callable[[Generator], Traffic]


def clumps(rate: float, seconds: float, tick_s: float, chance: Generator) -> Traffic:
    """Poisson arrivals on a clock that ticks every `tick_s`."""
    even = poisson(rate, seconds, chance)
    return traffic_of(even.at_s // tick_s * tick_s, seconds)


SHAPES: dict[str, tuple[Shape, float]] = {  # and the mean service time
    "even": (lambda chance: poisson(5.5, 3600.0, chance), SERVICE_MEAN_S),
    "even-large": (lambda chance: poisson(50.0, 1800.0, chance), SERVICE_MEAN_S),
    "even-small": (lambda chance: poisson(0.3, 3600.0, chance), SERVICE_MEAN_S),
    "even-short": (lambda chance: poisson(200.0, 900.0, chance), 0.05),
    "clumps": (lambda chance: clumps(3.4, 3600.0, 3.0, chance), SERVICE_MEAN_S),
    "day-in-an-hour": (lambda chance: diurnal(6.0, 0.7, 7200.0, chance, period_s=3600.0), SERVICE_MEAN_S),
    "day-in-four": (lambda chance: diurnal(10.0, 0.7, 14400.0, chance, period_s=14400.0), SERVICE_MEAN_S),
    "bursts": (lambda chance: bursts(3.0, 15.0, 3600.0, chance, calm_s=120.0, burst_s=30.0), SERVICE_MEAN_S),
    "short-bursts": (lambda chance: bursts(3.0, 30.0, 3600.0, chance, calm_s=60.0, burst_s=5.0), SERVICE_MEAN_S),
    "tenfold": (lambda chance: spike(2.0, 20.0, 600.0, 300.0, 1800.0, chance), SERVICE_MEAN_S),
}


def generate(name: str, slots: int, seed: int = 1) -> Workload:
    """The workload of a shape's name. Raises KeyError for one that is not in SHAPES."""
    shape, mean_s = SHAPES[name]
    chance = default_rng(seed)
    traffic = shape(chance)
    service_s = chance.gamma(SERVICE_SPREAD**-2, mean_s * SERVICE_SPREAD**2, len(traffic))
    return Workload(traffic.at_s.tolist(), service_s.tolist(), slots)
