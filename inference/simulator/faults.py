"""Faults on a plan: servers that crash, slow down or hang, at times given or drawn."""

from dataclasses import dataclass
from random import Random

from inference.simulator.servers import Server, ServerPool, ServerState

MOST_FACTOR = 1e6  # of a slowdown, either way: what is multiplied must be divided again
MOST_FAULTS = 1_000_000


@dataclass(frozen=True)
class Crash:
    """A server ends at once; its work is lost. Whether another starts is the scaling policy's affair, unless
    `restart`: then one starts in its place, through a cold start."""

    at_s: float
    restart: bool = True


@dataclass(frozen=True)
class Slowdown:
    """One server's jobs take `factor` times as long for `seconds`. A large factor is a hang. Raises ValueError unless
    the factor is positive and at most MOST_FACTOR."""

    at_s: float
    seconds: float
    factor: float

    def __post_init__(self) -> None:
        if not 1.0 / MOST_FACTOR <= self.factor <= MOST_FACTOR:
            raise ValueError(
                f"A server {self.factor} times as slow could not recover: up to {MOST_FACTOR:g} is a hang."
            )


Fault = Crash | Slowdown


def random_faults(
    seconds: float, every_s: float, chance: Random, slow_s: float = 10.0, factor: float = 5.0
) -> list[Fault]:
    """A fault every `every_s` on average over `seconds`, half of them crashes. Raises ValueError unless `every_s` is
    positive, or for more than MOST_FAULTS."""
    if not every_s > 0.0 or not seconds / every_s <= MOST_FAULTS:
        raise ValueError(
            f"A fault every {every_s} s of {seconds} s: name a time above zero, for up to {MOST_FAULTS:,}."
        )
    faults: list[Fault] = []
    at_s = chance.expovariate(1.0) * every_s
    while at_s < seconds:
        faults.append(Crash(at_s) if chance.random() < 0.5 else Slowdown(at_s, slow_s, factor))
        at_s += chance.expovariate(1.0) * every_s
    return faults


class FaultInjector:
    """Lets planned faults happen to servers drawn among the ready ones; with none ready, a fault passes."""

    def __init__(self, pool: ServerPool, faults: list[Fault], chance: Random):
        self.pool = pool
        self.chance = chance
        self.happened: list[tuple[Fault, int]] = []  # and the server it hit
        for fault in faults:
            pool.simulation.at(fault.at_s, self.happen, fault)

    def happen(self, fault: Fault) -> None:
        ready = [one for one in self.pool.living if one.state is ServerState.READY]
        if not ready:
            return
        server = self.chance.choice(ready)
        self.happened.append((fault, server.name))
        if isinstance(fault, Crash):
            self.pool.crash(server)
            if fault.restart:
                self.pool.start()
        else:
            server.pace *= fault.factor
            self.pool.simulation.after(fault.seconds, self.recover, server, fault.factor)

    def recover(self, server: Server, factor: float) -> None:
        server.pace /= factor
