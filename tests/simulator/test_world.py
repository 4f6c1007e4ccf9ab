"""The controller's real decisions over hours of trouble, in virtual time."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.versions import make_model, make_pool, make_version

from inference.policy.admission import Admission
from inference.policy.batching import LatencyModel
from inference.policy.waiting import WaitingLine
from inference.simulator.batch_service import BatchService, Demand, Outcome
from inference.simulator.clock import Simulation
from inference.simulator.durations import GENTD26_LOAD_S, Constant, Executor, Quantiles
from inference.simulator.servers import ServerPool
from inference.simulator.world import World


def world_of(load_s: float | None = 10.0, max_workers: int = 8, period_s: float = 0.5) -> World:
    load = Quantiles(GENTD26_LOAD_S) if load_s is None else Constant(load_s)
    return World(Simulation(), make_pool(max_workers), load, Random(1), period_s=period_s)


def in_force(world: World, model: str = "m") -> list[tuple[float, tuple[int, ...]]]:
    return [(moment.at_s, moment.versions) for moment in world.history if moment.what == "in-force"]


def test_traffic_moves_only_when_the_new_version_can_answer() -> None:
    world = world_of()
    world.publish(make_model("m", make_version(1)))
    world.simulation.run(until_s=60.0)
    world.publish(make_model("m", make_version(1), make_version(2), stable=2, generation=2))
    world.simulation.run(until_s=69.0)
    assert (world.ready("m", 1), world.ready("m", 2)) == (1, 0)
    assert [weight.version for weight in world.effective["m"].weights] == [1]
    world.simulation.run(until_s=80.0)
    assert [weight.version for weight in world.effective["m"].weights] == [2]


def test_a_broken_version_never_gets_traffic_and_is_tried_ever_more_seldom() -> None:
    world = world_of(load_s=1.0)
    world.broken.add(("m", 2))
    world.publish(make_model("m", make_version(1)))
    world.simulation.run(until_s=20.0)
    world.publish(make_model("m", make_version(1), make_version(2), stable=2, generation=2))
    world.simulation.run(until_s=3600.0)
    assert [versions for _, versions in in_force(world)][-1] == (1,)
    assert world.ready("m", 1) == 1
    lost = [moment.at_s for moment in world.history if moment.what == "lost"]
    assert 20 < len(lost) < 100
    assert lost[-1] - lost[-2] > 20 * (lost[1] - lost[0])


def test_a_hung_worker_is_found_and_replaced() -> None:
    world = world_of()
    world.publish(make_model("m", make_version(1)))
    world.simulation.run(until_s=60.0)
    (replica,) = world.driver.jobs
    world.hang(replica)
    world.simulation.run(until_s=140.0)
    assert world.ready("m", 1) == 1
    assert [moment.who for moment in world.history if moment.what == "lost"] == [replica]


def test_a_change_of_version_under_load_loses_nobody() -> None:
    world = world_of(load_s=3.0)
    servers = ServerPool(world.simulation, Constant(0.0), Random(1))
    admission = Admission(LatencyModel(), 32)
    at_s = [10.0 + number / 200 for number in range(4000)]
    count = len(at_s)
    demand = Demand(at_s, [1.0] * count, [3] * count, [1] * count, ["a"] * count)
    service = BatchService(servers, Executor(0.010, 0.002), admission, WaitingLine(admission, 512), demand, Random(2))
    for version in (make_version(1), make_version(2)):
        world.serve(("m", version.number, version.digest, "u0"), servers)
    world.publish(make_model("m", make_version(1)))
    world.simulation.at(15.0, world.publish, make_model("m", make_version(2), stable=2, generation=2))
    world.simulation.run(until_s=40.0)
    assert Counter(service.outcome) == {Outcome.IN_TIME: count}
    assert world.ready("m", 2) == 1


def test_a_crash_under_load_loses_one_batch_and_what_could_not_wait() -> None:
    world = world_of(load_s=3.0)
    servers = ServerPool(world.simulation, Constant(0.0), Random(1))
    admission = Admission(LatencyModel(), 32)
    at_s = [10.0 + number / 100 for number in range(2000)]
    count = len(at_s)
    demand = Demand(at_s, [10.0] * count, [3] * count, [1] * count, ["a"] * count)
    service = BatchService(servers, Executor(0.010, 0.002), admission, WaitingLine(admission, 1024), demand, Random(2))
    world.serve(("m", 1, make_version(1).digest, "u0"), servers)
    world.publish(make_model("m", make_version(1)))
    world.simulation.at(15.0, lambda: world.crash(next(iter(world.driver.jobs))))
    world.simulation.run(until_s=60.0)
    fates = Counter(service.outcome)
    assert fates[Outcome.LOST] <= 32
    assert fates[Outcome.IN_TIME] + fates[Outcome.LOST] == count


def test_a_day_of_crashes_is_the_same_each_time() -> None:
    def day() -> list[object]:
        world = world_of(load_s=None, period_s=60.0)
        chance = Random(3)
        world.publish(make_model("m", make_version(1, replicas=3)))

        def crash_one() -> None:
            if world.driver.jobs:
                world.crash(chance.choice(list(world.driver.jobs)))

        world.simulation.every(1200.0, crash_one, until_s=86_000.0)
        world.simulation.run(until_s=86_400.0)
        assert world.ready("m", 1) == 3
        return list(world.history)

    assert day() == day()


names, numbers = st.sampled_from("ab"), st.sampled_from([1, 2, 3])
troubles = st.one_of(
    st.tuples(st.just("publish"), st.tuples(names, numbers, st.integers(1, 3))),
    st.tuples(st.just("crash"), st.integers(0, 9)),
    st.tuples(st.just("hang"), st.integers(0, 9)),
    st.tuples(st.just("break"), st.tuples(names, numbers)),
)


class Watch:
    """Looks each second whether a version in force that could answer still can, until the first trouble."""

    def __init__(self, world: World):
        self.world = world
        self.troubled = False
        self.answered: set[tuple[str, int]] = set()
        self.taken_away: list[tuple[str, int]] = []
        self.generations: Counter[str] = Counter()
        world.simulation.every(1.0, self.look, until_s=3000.0)

    def look(self) -> None:
        for name, effective in self.world.effective.items():
            for version in [weight.version for weight in effective.weights]:
                if self.world.ready(name, version):
                    self.answered.add((name, version))
                elif (name, version) in self.answered and not self.troubled:
                    self.taken_away.append((name, version))

    def meet(self, what: str, which) -> None:
        jobs = list(self.world.driver.jobs)
        if what == "publish":
            name, stable, replicas = which
            self.generations[name] += 1
            versions = [make_version(number, replicas=replicas) for number in (1, 2, 3)]
            self.world.publish(make_model(name, *versions, stable=stable, generation=self.generations[name]))
            return
        self.troubled = True
        if what == "break":
            self.world.broken.add(which)
        elif jobs:
            (self.world.crash if what == "crash" else self.world.hang)(jobs[which % len(jobs)])


@given(st.lists(st.tuples(st.floats(0, 120), troubles), max_size=12), st.integers(1, 1000))
@settings(max_examples=40)
def test_whatever_goes_wrong_a_version_in_force_is_not_taken_away_and_all_settles(steps, seed: int) -> None:
    world = World(Simulation(), make_pool(16), Constant(5.0), Random(seed), period_s=2.0)
    watch = Watch(world)
    for wait_s, (what, which) in steps:
        world.simulation.run(until_s=world.simulation.now_s + wait_s)
        watch.meet(what, which)
    world.simulation.run(until_s=world.simulation.now_s + 400.0)
    assert not watch.taken_away
    assert world.most_workers <= 2 * 16
    for name, effective in world.effective.items():
        for version in [weight.version for weight in effective.weights]:
            assert world.ready(name, version) >= 1 or (name, version) in world.broken


def test_what_cannot_fit_is_said() -> None:
    world = world_of(max_workers=1)
    world.publish(make_model("m", make_version(1, replicas=3)))
    world.simulation.run(until_s=60.0)
    assert world.ready("m", 1) == 1
    assert [shortage.model for shortage in world.decision.shortages] == ["m"]
    with pytest.raises(ValueError, match="hardly move"):
        World(Simulation(), make_pool(), Constant(1.0), Random(1), period_s=0.0)
