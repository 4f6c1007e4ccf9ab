"""The simplest queue before a pool: first come, first served, one job a request, nobody refused.

What scaling policies are measured with: a policy is judged by how long requests wait for a slot, and what the servers
cost.
"""

from collections import deque
from collections.abc import Sequence

from inference.simulator.servers import Server, ServerPool


class FifoService:
    """Requests given as parallel sequences; waits are kept by index. A request whose server crashed waits again, first
    in line, and its wait counts from its arrival."""

    def __init__(self, pool: ServerPool, at_s: Sequence[float], service_s: Sequence[float]):
        self.pool = pool
        self.simulation = pool.simulation
        self.at_s = at_s
        self.service_s = service_s
        self.waiting: deque[int] = deque()
        self.wait_s = [float("nan")] * len(at_s)  # until a slot was found; NaN: it waits, or never came
        self.arrived = self.answered = self.lost = 0
        pool.on_free = self.pump
        self.simulation.feed(at_s, self.arrive)

    def arrive(self, index: int) -> None:
        self.arrived += 1
        self.waiting.append(index)
        self.pump()

    def pump(self) -> None:
        while self.in_line:
            server = self.pool.free_server()
            if server is None:
                return
            self.begin(self.take(), server)

    @property
    def in_line(self) -> int:
        return len(self.waiting)

    def take(self) -> int:
        """The next of those in line."""
        return self.waiting.popleft()

    def begin(self, index: int, server: Server) -> None:
        self.wait_s[index] = self.simulation.now_s - self.at_s[index]
        self.pool.run(server, self.service_s[index], index, self.done, self.put_back)

    def done(self, index: int) -> None:
        self.answered += 1

    def put_back(self, index: int) -> None:
        self.lost += 1
        self.wait_s[index] = float("nan")
        self.waiting.appendleft(index)
        self.simulation.after(0.0, self.pump)

    @property
    def concurrency(self) -> int:
        """Requests here: waiting and at work."""
        return len(self.waiting) + self.pool.running

    def waits_over(self, limit_s: float) -> int:
        """How many waited longer than `limit_s`, those that still do included."""
        now_s = self.simulation.now_s
        still = sum(now_s - self.at_s[index] > limit_s for index in self.waiting)
        return still + sum(wait > limit_s for wait in self.wait_s)
