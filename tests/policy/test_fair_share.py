from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inference.policy.fair_share import FairShare

steps = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-6, 6)), max_size=80)


@given(steps)
def test_it_knows_at_each_moment_who_has_most(moves: list[tuple[str, int]]) -> None:
    shares, truth = FairShare(), Counter()
    for caller, rows in moves:
        if rows >= 0:
            shares.add(caller, rows)
        else:
            shares.remove(caller, -rows)
        truth[caller] = max(0, truth[caller] + rows)
        heaviest = shares.heaviest()
        assert shares.most == max(truth.values())
        assert truth[heaviest] == shares.most if heaviest is not None else shares.most == 0
        assert shares.rows_of == {name: count for name, count in truth.items() if count}


@given(steps, st.sampled_from("abcdx"), st.integers(1, 6))
def test_giving_way_never_turns_the_tables(moves: list[tuple[str, int]], caller: str, rows: int) -> None:
    shares = FairShare()
    for name, count in moves:
        shares.add(name, max(0, count))
    giver = shares.gives_way(caller, rows)
    if giver is None:
        assert shares.most - rows < shares.rows_of.get(caller, 0) + rows
    else:
        assert giver != caller
        assert shares.rows_of[giver] - rows >= shares.rows_of.get(caller, 0) + rows


def test_one_caller_alone_may_have_everything() -> None:
    shares = FairShare()
    shares.add("only", 500)
    assert shares.gives_way("only", 1) is None
    assert shares.gives_way("other", 1) == "only"


def test_it_holds_nobody_who_has_left() -> None:
    shares = FairShare()
    for caller in range(10_000):
        shares.add(caller, 2)
        shares.remove(caller, 5)
    assert (shares.rows_of, shares.buckets, shares.most) == ({}, {}, 0)
