import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.simulator.clock import Simulation

moments = st.lists(st.floats(min_value=0, max_value=1e6), max_size=50)


@given(moments)
def test_events_happen_in_the_order_of_time_and_then_of_planning(times: list[float]) -> None:
    simulation, seen = Simulation(), []
    for number, when_s in enumerate(times):
        simulation.at(when_s, lambda number=number: seen.append((simulation.now_s, number)))
    simulation.run()
    assert seen == sorted((when_s, number) for number, when_s in enumerate(times))


@given(moments, st.data())
def test_what_is_cancelled_never_happens(times: list[float], data: st.DataObject) -> None:
    simulation, seen = Simulation(), []
    timers = [simulation.at(when_s, seen.append, number) for number, when_s in enumerate(times)]
    dropped = data.draw(st.sets(st.sampled_from(range(len(times))))) if times else set()
    for number in dropped:
        timers[number].cancel()
        timers[number].cancel()  # twice does no more
    simulation.run()
    assert sorted(seen) == [number for number in range(len(times)) if number not in dropped]


def test_dead_timers_do_not_pile_up() -> None:
    simulation = Simulation()
    for _ in range(10_000):
        simulation.after(60.0, lambda: None).cancel()
    assert len(simulation.planned) < 3_000
    simulation.run()
    assert simulation.events == 0


def test_the_clock_never_goes_back() -> None:
    simulation = Simulation()
    simulation.run(until_s=5.0)
    assert simulation.now_s == 5.0
    for wrong in (4.9, float("nan")):
        with pytest.raises(ValueError, match="cannot be planned"):
            simulation.at(wrong, lambda: None)
    assert simulation.run(until_s=1.0) == 5.0


@given(st.lists(st.floats(min_value=-5, max_value=100), max_size=40))
def test_a_feed_out_of_order_still_brings_everyone_once(times: list[float]) -> None:
    simulation, seen = Simulation(), []
    simulation.feed(times, lambda index: seen.append((index, simulation.now_s)))
    simulation.run()
    assert [index for index, _ in seen] == list(range(len(times)))
    assert all(now_s >= times[index] for index, now_s in seen)


def test_an_hour_of_tenths_ends_on_the_hour() -> None:
    simulation, ticks = Simulation(), []
    simulation.every(0.1, lambda: ticks.append(simulation.now_s), until_s=3600.0)
    simulation.run()
    assert len(ticks) == 36_000
    assert ticks[-1] == 3600.0


def test_what_is_planned_for_no_time_at_all_never_happens() -> None:
    simulation, seen = Simulation(), []
    simulation.at(float("inf"), seen.append, "never")
    simulation.at(7.0, seen.append, "at last")
    assert simulation.run() == 7.0
    assert seen == ["at last"]


@pytest.mark.parametrize("period_s", [0.0, -1.0, 1e-300, float("nan")])
def test_a_period_moves_the_clock(period_s: float) -> None:
    with pytest.raises(ValueError, match="hardly move"):
        Simulation().every(period_s, lambda: None, until_s=1.0)


def test_a_run_can_be_stopped_and_goes_on_where_it_was() -> None:
    simulation, seen = Simulation(), []
    simulation.at(1.0, simulation.stop)
    simulation.at(2.0, seen.append, "later")
    assert simulation.run(until_s=10.0) == 1.0
    assert not seen
    assert simulation.run(until_s=10.0) == 10.0
    assert seen == ["later"]
