"""What is started and stopped, by table; and that any run of misfortunes converges without taking away what serves."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.versions import make_model, make_pool, make_version

from inference.controller.apply import Applier
from inference.controller.observe import see_replicas
from inference.controller.roster import Roster
from inference.drivers.fake import FakeDriver
from inference.policy.effective import choose_weights, decide_effective, list_ready
from inference.policy.reconcile import Drain, Forget, Kill, Start, Stop, reconcile
from inference.policy.replicas import LONGEST_PAUSE_S, Failure, Replica, is_hung, note_end
from inference.policy.wanted import list_in_force, list_wanted
from inference.spec import DeviceKind, ModelSpec, PoolSpec, Weight
from inference.status import Effective, ReplicaState

READY, LOADING, STARTING = ReplicaState.READY, ReplicaState.LOADING, ReplicaState.STARTING
NOW = 1_000.0


def replica(
    name: str, version: int, state: ReplicaState = READY, model: str = "m", unit: str = "u0", **facts
) -> Replica:
    return Replica(
        replica=name, model=model, version=version, digest=f"{version:064x}", unit=unit, device="cpu", state=state,
        **{"started_at_s": NOW - 5, "beat_at_s": NOW, **facts},
    )  # fmt: skip


def in_force(*versions: int, model: str = "m") -> dict[str, Effective]:
    weights = tuple(Weight(version=version, percent=100 / len(versions)) for version in versions)
    return {model: Effective(name=model, epoch="e", generation=1, fence=1, weights=weights)}


def decide(models, replicas=(), pool=None, failures=(), effective=None, cores=16, now_s=NOW, known=None):
    effective = effective or {}
    return reconcile(
        wanted=list_wanted(models, effective, "default"),
        pool=pool or make_pool(),
        replicas=replicas,
        failures=failures,
        in_force=list_in_force(effective.values()),
        known=known if known is not None else {"m", *(model.name for model in models)},
        cores=cores,
        now_s=now_s,
    )


def started(decision) -> list[tuple[str, int, str]]:
    return [
        (one.wanted.model, one.wanted.version.number, one.wanted.unit.name)
        for one in decision.actions
        if isinstance(one, Start)
    ]


def test_every_unit_of_every_live_version_is_started():
    model = make_model("m", make_version(1), make_version(2, units=3))

    assert sorted(started(decide([model]))) == [("m", 1, "u0"), ("m", 2, "u0"), ("m", 2, "u1"), ("m", 2, "u2")]


def test_versions_with_traffic_come_first_and_small_ones_before_large():
    chain = make_model("a", make_version(1, units=3))
    single = make_model("b", make_version(1), make_version(2), stable=1)

    assert [name for name, *_ in started(decide([chain, single]))] == ["b", "a", "a", "a", "b"]


@pytest.mark.parametrize("cores, at_once", [(1, 1), (2, 1), (8, 4)])
def test_few_load_at_once(cores, at_once):
    models = [make_model(f"m{n}", make_version(1)) for n in range(6)]

    assert len(started(decide(models, cores=cores))) == at_once


def test_a_load_that_takes_long_does_not_hold_the_others_up():
    models = [make_model("m", make_version(1)), make_model("n", make_version(1))]
    slow = replica("a", 1, LOADING, started_at_s=NOW - 60)

    assert started(decide(models, [slow], cores=2)) == [("n", 1, "u0")]


def test_a_pool_that_is_as_wanted_is_left_alone():
    model = make_model("m", make_version(1, replicas=2))

    assert decide([model], [replica("a", 1), replica("b", 1)], effective=in_force(1)).actions == ()


def test_a_version_without_minimum_is_started_only_where_it_has_traffic():
    idle = make_model("m", make_version(1, replicas=0), stable=None)
    wanted = make_model("m", make_version(1, replicas=0), stable=1)

    assert (started(decide([idle])), started(decide([wanted]))) == ([], [("m", 1, "u0")])


def test_a_ready_replica_drains_before_it_stops_and_a_loading_one_just_stops():
    model = make_model("m", make_version(1))
    replicas = [replica("a", 1), replica("b", 2), replica("c", 3, LOADING)]

    assert decide([model], replicas, effective=in_force(1)).actions == (
        Drain("b", "no longer wanted"), Stop("c", "no longer wanted"),
    )  # fmt: skip


@pytest.mark.parametrize("drained_s, stops", [(0.1, False), (0.6, True)])
def test_gateways_get_time_to_hear_of_a_drain(drained_s, stops):
    draining = replica("b", 2, draining_at_s=NOW - drained_s)
    decision = decide([make_model("m", make_version(1))], [replica("a", 1), draining], effective=in_force(1))

    assert (decision.actions == (Stop("b", "drained"),)) is stops


def test_a_version_in_force_stays_until_its_successor_has_taken_over():
    wanted = make_model("m", make_version(2), stable=2)
    old, new = replica("a", 1), replica("b", 2)

    assert started(decide([wanted], [old], effective=in_force(1))) == [("m", 2, "u0")]
    assert decide([wanted], [old, new], effective=in_force(1)).actions == ()
    assert decide([wanted], [old, new], effective=in_force(2)).actions == (Drain("a", "no longer wanted"),)


def test_successors_may_stand_beside_what_they_replace_in_a_full_pool():
    wanted = make_model("m", make_version(2), stable=2)

    assert started(decide([wanted], [replica("a", 1)], make_pool(1), effective=in_force(1))) == [("m", 2, "u0")]


def test_scaling_down_keeps_the_ready_ones():
    model = make_model("m", make_version(1))
    replicas = [replica("young", 1, READY), replica("old", 1, LOADING, started_at_s=NOW - 20)]

    assert decide([model], replicas, effective=in_force(1)).actions == (Stop("old", "no longer wanted"),)


def test_what_finds_no_room_is_said_and_the_rest_is_started():
    models = [make_model("chain", make_version(1, units=3)), make_model("m", make_version(1), make_version(2))]
    decision = decide(models, pool=make_pool(2))

    assert started(decision) == [("m", 1, "u0"), ("m", 2, "u0")]
    assert [(one.model, one.version) for one in decision.shortages] == [("chain", 1)]
    assert "needs 3" in decision.shortages[0].reason


def test_a_version_with_traffic_displaces_one_without():
    model = make_model("m", make_version(1), make_version(2), stable=2)
    decision = decide([model], [replica("a", 1), replica("x", 9, model="n")], make_pool(1), known={"m"})

    assert decision.actions == (Drain("a", "no longer wanted"),)


def test_further_replicas_take_the_room_that_is_left():
    decision = decide([make_model("m", make_version(1, replicas=5))], pool=make_pool(3))

    assert len(started(decision)) == 3
    assert "Room for 3 of 5" in decision.shortages[0].reason


def test_a_unit_that_needs_a_gpu_is_not_put_on_a_cpu():
    decision = decide([make_model("m", make_version(1, device=DeviceKind.CUDA))])

    assert started(decision) == []
    assert "cuda" in decision.shortages[0].reason


def test_replicas_spread_over_the_devices():
    model = make_model("m", make_version(1, replicas=4))
    decision = decide([model], pool=make_pool(devices=("cpu", "cuda:0", "cuda:1")))

    assert sorted(one.device for one in decision.actions) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]


@pytest.mark.parametrize("replicas, asked, threads", [(1, 0, 8), (2, 0, 4), (1, 3, 3)])
def test_cores_are_shared_among_the_replicas_that_compute(replicas, asked, threads):
    decision = decide([make_model("m", make_version(1, replicas=replicas, threads=asked))], cores=8)

    assert {one.threads for one in decision.actions} == {threads}


def test_workers_of_a_model_of_which_there_is_no_news_are_left_alone():
    assert decide([], [replica("a", 1, model="unheard-of")]).actions == ()


def test_workers_of_a_deleted_model_go():
    assert decide([], [replica("a", 1)]).actions == (Drain("a", "no longer wanted"),)


def test_a_crashed_replica_comes_back_under_its_name_even_while_others_load():
    model = make_model("m", make_version(1), make_version(2))
    crashed = Failure("a", ("m", 1, f"{1:064x}", "u0"), 1, "killed", NOW)
    decision = decide([model], [replica("b", 2, LOADING)], failures=[crashed], cores=2)

    assert [one.replica for one in decision.actions if isinstance(one, Start)] == ["a"]


def test_a_crash_loop_waits_for_its_time_and_keeps_its_place():
    crashed = Failure("a", ("m", 1, f"{1:064x}", "u0"), 5, "no such file", NOW + 8)
    model = make_model("m", make_version(1))

    assert decide([model], failures=[crashed]).actions == ()
    assert len(started(decide([model], failures=[crashed], now_s=NOW + 8))) == 1


def test_a_failure_that_nobody_wants_any_more_is_forgotten():
    crashed = Failure("a", ("m", 1, f"{1:064x}", "u0"), 5, "no such file", NOW + 8)

    assert decide([make_model("m", make_version(2), stable=2)], [replica("b", 2)], failures=[crashed]).actions == (
        Forget("a"),
    )


@pytest.mark.parametrize(
    "state, silent_s, age_s, hung",
    [
        (READY, 29, 100, False),  # a long batch
        (READY, 36, 100, True),
        (LOADING, 20, 100, False),
        (LOADING, 31, 100, True),
        (LOADING, 0, 901, True),
        (STARTING, 31, 31, False),
        (STARTING, 61, 61, True),
    ],
)
def test_a_worker_is_given_up_when_it_is_silent_for_longer_than_its_work_explains(state, silent_s, age_s, hung):
    silent = replica("a", 1, state, beat_at_s=NOW - silent_s, started_at_s=NOW - age_s)

    assert bool(is_hung(silent, timeout_s=30.0, now_s=NOW)) is hung


def test_a_hung_replica_is_killed_and_keeps_its_place_until_its_end_is_seen():
    silent = replica("a", 1, beat_at_s=NOW - 120)
    actions = decide([make_model("m", make_version(1))], [silent], effective=in_force(1)).actions

    assert [(type(one), one.replica) for one in actions] == [(Kill, "a")]


def test_restarts_come_at_once_then_later_and_later_up_to_a_bound():
    group = ("m", 1, "d", "u0")
    first = note_end(None, "a", group, "killed", ready_for_s=3.0, now_s=NOW)
    assert first.retry_at_s == NOW

    pauses, failure = [], first
    for _ in range(12):
        failure = note_end(failure, "a", group, "killed", ready_for_s=None, now_s=NOW)
        pauses.append(failure.retry_at_s - NOW)
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LONGEST_PAUSE_S

    assert note_end(failure, "a", group, "killed", ready_for_s=31.0, now_s=NOW).retry_at_s == NOW, "forgiven"


@pytest.mark.parametrize(
    "ready, weights",
    [(set(), (1,)), ({1}, (1,)), ({1, 2}, (2,)), ({2}, (2,))],
    ids=["nothing ready", "the old one", "both", "only the new one"],
)
def test_weights_move_only_to_what_is_ready(ready, weights):
    model = make_model("m", make_version(1), make_version(2), stable=2)
    current = in_force(1)["m"]

    assert tuple(one.version for one in choose_weights(model, current, ready)) == weights


def test_a_chain_is_ready_when_each_of_its_units_is():
    model = make_model("m", make_version(1, units=2))
    first, second = replica("a", 1, unit="u0"), replica("b", 1, unit="u1")

    assert list_ready(model, [first]) == set()
    assert list_ready(model, [first, second]) == {1}
    assert list_ready(model, [first, msgspec.structs.replace(second, draining_at_s=NOW)]) == set()


@dataclass
class World:
    """The controller's decisions upon fake workers, and a clock."""

    models: dict[str, ModelSpec] = field(default_factory=dict)
    pool: PoolSpec = field(default_factory=make_pool)
    effective: dict[str, Effective] = field(default_factory=dict)
    driver: FakeDriver = field(default_factory=FakeDriver)
    roster: Roster = field(default_factory=Roster)
    bad: set[int] = field(default_factory=set)  # versions that cannot load

    def turn(self, tmp_path) -> None:
        now_s = self.driver.now_s
        for gone in self.driver.ended():
            self.roster.note_gone(gone, now_s)
        running = self.driver.running()
        for one in running:
            self.roster.see(one, now_s)
        replicas = see_replicas(
            running, self.driver.beats(), {}, self.roster.draining_at_s, self.roster.stopping, self.roster.since_s, 0.0
        )
        for one in replicas:
            self.roster.note_state(one, "", now_s)
        for name, model in self.models.items():
            ready = list_ready(model, replicas)
            self.effective[name] = decide_effective(model, self.effective.get(name), ready, fence=1)
        decision = decide(
            self.models.values(), replicas, self.pool, tuple(self.roster.failures.values()), self.effective, cores=4,
            now_s=now_s,
        )  # fmt: skip
        self.check(decision.actions, replicas)
        applier = Applier(self.driver, self.roster, tmp_path, "local", "default", 20.0)
        for action in decision.actions:
            applier.apply(action, now_s)

    def check(self, actions, replicas) -> None:
        """No action takes the last ready replica away from a unit of a version in force."""
        taken = {action.replica for action in actions if isinstance(action, Drain | Stop)}
        serving = list_in_force(self.effective.values())
        ready = [one for one in replicas if one.state is READY and one.draining_at_s is None and not one.stopping]
        for one in ready:
            if one.replica in taken and (one.model, one.version) in serving:
                left = [other for other in ready if other.group == one.group and other.replica not in taken]
                assert left, f"{one.replica} was the last of a version in force"

    def load_one_step(self) -> None:
        for name, state in list(self.driver.states.items()):
            if state is not READY:
                if self.driver.jobs[name].version.number in self.bad:
                    self.driver.crash(name, 3)
                else:
                    self.driver.finish_loading(name)


EVENTS = st.one_of(
    st.tuples(st.just("stable"), st.integers(1, 3)),
    st.tuples(st.just("live"), st.sets(st.integers(1, 3), min_size=1)),
    st.tuples(st.just("crash"), st.integers(0, 9)),
    st.tuples(st.just("hang"), st.integers(0, 9)),
    st.tuples(st.just("load"), st.none()),
    st.tuples(st.just("room"), st.integers(2, 8)),
    st.tuples(st.just("bad"), st.sets(st.integers(1, 3), max_size=2)),
    st.tuples(st.just("time"), st.floats(0.1, 40)),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=40), st.integers(1, 2))
def test_any_run_of_misfortunes_converges_and_never_takes_away_what_serves(tmp_path, events, units):
    world = World()
    live, stable, generation = {1}, 1, 1
    for what, value in [*events, ("bad", set()), ("room", 8), ("time", 0.1)]:
        generation += 1
        names = list(world.driver.jobs)
        match what:
            case "stable":
                stable, live = value, live | {value}
            case "live":
                live = value | {stable}
            case "crash" if names:
                world.driver.crash(names[value % len(names)])
            case "hang" if names:
                world.driver.hang(names[value % len(names)])
            case "load":
                world.load_one_step()
            case "room":
                world.pool = make_pool(value)
            case "bad":
                world.bad = value
            case "time":
                world.driver.advance(value)
        versions = [make_version(number, units if number == 3 else 1) for number in sorted(live)]
        world.models["m"] = make_model("m", *versions, stable=stable, generation=generation)
        world.turn(tmp_path)

    for _ in range(90):
        world.driver.advance(2.0)
        world.load_one_step()
        world.turn(tmp_path)
    wanted = sorted((number, f"u{place}") for number in live for place in range(units if number == 3 else 1))
    assert sorted((job.version.number, job.unit) for job in world.driver.jobs.values()) == wanted
    assert set(world.driver.states.values()) == {READY}
    assert [one.version for one in world.effective["m"].weights] == [stable]
    assert not [one for one in world.roster.failures if one not in world.driver.jobs]
