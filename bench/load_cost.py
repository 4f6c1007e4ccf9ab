"""What a request costs the gateway, beside how many are answered: CPU time of the processes that answer clients.

On a machine with few cores the load generator, the worker and the gateway take turns, and the rate tells of all three.
CPU time a request tells of the gateway alone, and a busy machine blurs it less.
"""

import statistics
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bench.peers.wrk import measure
from bench.stand import Gateway


@dataclass(frozen=True)
class Cost:
    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float  # user and system, of the gateway's processes, a request


def measure_cost(gateway: Gateway, body: Path, clients: int, seconds: int) -> Cost:
    """`wrk` for so long at so many connections."""
    before_s = gateway.cpu_s()
    figures = measure(gateway.infer_url, body, gateway.headers, clients, seconds)
    spent_s = gateway.cpu_s() - before_s
    cpu_us = round(spent_s / max(1.0, figures.rps * seconds) * 1e6, 2)
    return Cost(figures.rps, figures.p50_ms, figures.p99_ms, figures.errors, cpu_us)


def median_cost(costs: list[Cost]) -> dict[str, float]:
    """Of repetitions; errors add up."""
    middle = {item.name: statistics.median(getattr(one, item.name) for one in costs) for item in fields(Cost)}
    return middle | {"errors": sum(one.errors for one in costs)}


def median_ratio(ours: list[Cost], base: list[Cost], name: str) -> float:
    """Of neighbours in time, so that what slows the machine for a while slows both."""
    pairs = zip(ours, base, strict=True)
    return round(statistics.median(asdict(one)[name] / asdict(other)[name] for one, other in pairs), 3)
