from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.placement import Ask, Room, choose_removals, place_replicas, share_room

GIB = 2**30


def gpu(node: str, index: int, free_gib: float | None, **fields: int) -> Room:
    free = None if free_gib is None else int(free_gib * GIB)
    return Room(node, f"cuda:{index}", 80 * GIB, free, **fields)


def test_replicas_stand_apart_so_that_a_dead_node_takes_few() -> None:
    rooms = [gpu("a", 0, 80), gpu("a", 1, 80), gpu("b", 0, 80)]
    places = place_replicas(4, 10 * GIB, rooms).places
    assert [node for node, _ in places].count("a") == [node for node, _ in places].count("b") == 2
    assert {place for place in places if place[0] == "a"} == {("a", "cuda:0"), ("a", "cuda:1")}


def test_a_small_model_takes_the_small_hole() -> None:
    rooms = [gpu("a", 0, 70), gpu("a", 1, 12), gpu("a", 2, 30)]
    assert place_replicas(1, 10 * GIB, rooms).places == (("a", "cuda:1"),)


def test_what_finds_no_room_is_said() -> None:
    placement = place_replicas(3, 30 * GIB, [gpu("a", 0, 40), gpu("b", 0, 20)])
    assert placement.places == (("a", "cuda:0"),)
    assert "No device has room for 2 more: each takes 30.00 GiB" in placement.reason
    assert "no device" in place_replicas(1, GIB, []).reason


def test_unmeasured_memory_leaves_it_to_the_counts() -> None:
    rooms = [gpu("a", 0, None, replicas=3), gpu("a", 1, None, replicas=1)]
    assert place_replicas(1, GIB, rooms).places == (("a", "cuda:1"),)


def test_the_crowded_node_gives_up_first() -> None:
    rooms = [gpu("a", 0, 10, mine=2), gpu("a", 1, 10, mine=1), gpu("b", 0, 10, mine=1)]
    assert choose_removals(2, rooms) == [("a", "cuda:0"), ("a", "cuda:1")]
    assert len(choose_removals(99, rooms)) == 4
    assert choose_removals(1, []) == []


rooms = st.lists(
    st.builds(
        Room, st.sampled_from("abc"), st.sampled_from(["cuda:0", "cuda:1", "cpu"]), st.none(),
        st.none() | st.integers(-5, 100), st.integers(0, 9), st.integers(0, 4),
    ),
    unique_by=lambda room: (room.node, room.device), max_size=9,
)  # fmt: skip


@given(rooms, st.integers(-1, 20), st.integers(-3, 60))
@settings(max_examples=200, deadline=None)
def test_no_device_is_given_more_than_it_has(rooms: list[Room], count: int, need: int) -> None:
    placement = place_replicas(count, need, rooms)
    by_place = {(room.node, room.device): room for room in rooms}
    for place in set(placement.places):
        free = by_place[place].free_bytes
        if free is not None and free >= 0:
            assert placement.places.count(place) * need <= free
    assert len(placement.places) == max(0, count) or placement.reason


@pytest.mark.parametrize(
    "room, expected",
    [
        (20, {"a": 8, "b": 4, "c": 2}),
        (7, {"a": 4, "b": 2, "c": 1}),  # half a wish each
        (3, {"a": 1, "b": 1, "c": 1}),
        (2, {"a": 1, "b": 1, "c": 0}),
        (0, {"a": 0, "b": 0, "c": 0}),
        (-4, {"a": 0, "b": 0, "c": 0}),
    ],
)
def test_shortage_is_felt_alike(room: int, expected: dict[str, int]) -> None:
    assert share_room([Ask("a", 8), Ask("b", 4), Ask("c", 2)], room) == expected


def test_a_heavier_unit_gets_more_of_its_wish() -> None:
    shared = share_room([Ask("light", 10), Ask("heavy", 10, weight=3.0)], 12)
    assert shared == {"light": 3, "heavy": 9}


asks = st.lists(
    st.builds(
        Ask, st.uuids().map(str), st.integers(-2, 30), st.integers(-2, 4),
        st.floats() | st.sampled_from([nan, inf, -1.0, 0.0]),
    ),
    max_size=12,
)  # fmt: skip


@given(asks, st.integers(-3, 100))
@settings(max_examples=200, deadline=None)
def test_room_is_neither_exceeded_nor_left_while_somebody_wants_it(asks: list[Ask], room: int) -> None:
    shared = share_room(asks, room)
    wishes = {ask.name: max(0, ask.least, ask.wanted) for ask in asks}
    assert all(0 <= shared[name] <= wish for name, wish in wishes.items())
    assert sum(shared.values()) == min(max(0, room), sum(wishes.values()))
