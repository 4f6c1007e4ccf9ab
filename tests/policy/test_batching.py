from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.batching import LatencyModel, rows_in_time, wait_s, worth_second_slot
from inference.spec import BatchPolicy


@pytest.mark.parametrize(
    "waiting, age_s, left_s, max_wait_s, expected",
    [
        (1, 0.0, 9.0, 0.0, 0.0), (1, 0.001, 9.0, 0.005, 0.004), (1, 0.006, 9.0, 0.005, 0.0), (8, 0.0, 9.0, 0.005, 0.0),
        (1, 0.0, 0.002, 0.005, 0.002), (1, 0.0, -1.0, 0.005, 0.0),
    ],
)  # fmt: skip
def test_a_batch_is_held_back_only_where_the_policy_says_so_and_never_past_a_deadline(
    waiting: int, age_s: float, left_s: float, max_wait_s: float, expected: float
) -> None:
    policy = BatchPolicy(max_size=8, max_wait_s=max_wait_s)
    assert wait_s(waiting, age_s, left_s, policy) == pytest.approx(expected)


def taught(*pairs: tuple[int, float]) -> LatencyModel:
    model = LatencyModel()
    for rows, seconds in pairs * 20:
        model.observe(rows, seconds)
    return model


def test_the_model_learns_base_and_slope() -> None:
    model = taught((1, 0.012), (8, 0.026), (32, 0.074))
    assert model.base_s == pytest.approx(0.010, rel=0.01)
    assert model.row_s == pytest.approx(0.002, rel=0.01)
    assert model.predict_s(16) == pytest.approx(0.042, rel=0.01)


def test_one_batch_size_teaches_only_its_own_time() -> None:
    model = taught((4, 0.02))
    assert model.predict_s(4) == pytest.approx(0.02)
    assert model.predict_s(64) == pytest.approx(0.02)


def test_a_device_that_has_become_another_is_believed_after_a_few_batches() -> None:
    model = taught((1, 0.012), (8, 0.026), (32, 0.074))
    for rows in (32, 31):
        model.observe(rows, 2 * (0.010 + 0.002 * rows))
    assert model.predict_s(32) < 0.1
    for rows in (32, 30, 32):  # the third in a row, and two more
        model.observe(rows, 2 * (0.010 + 0.002 * rows))
    assert model.predict_s(32) == pytest.approx(0.148, rel=0.1)


def test_accidents_now_and_then_change_little() -> None:
    model = taught((1, 0.012), (8, 0.026), (32, 0.074))
    for turn in range(100):
        model.observe(32, 0.3 if turn % 20 == 0 else 0.074)
    assert model.predict_s(32) == pytest.approx(0.085, rel=0.15)


def test_noise_never_makes_larger_batches_cheaper_than_nothing() -> None:
    model = taught((1, 0.05), (32, 0.01))
    assert model.row_s == 0
    assert model.predict_s(1000) >= 0


def test_what_was_long_ago_fades() -> None:
    model = taught((1, 5.0))
    for _ in range(400):
        model.observe(1, 0.01)
    assert model.predict_s(1) == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize("model, cuda, worth", [
    (LatencyModel(), False, True), (taught((1, 0.001)), False, True), (taught((1, 0.01)), False, False),
    (taught((1, 0.01)), True, True),
])  # fmt: skip
def test_a_second_slot_is_for_short_batches_and_cuda(model: LatencyModel, cuda: bool, worth: bool) -> None:
    assert worth_second_slot(model, cuda) is worth


@pytest.mark.parametrize("left_s, rows", [(1.0, 32), (0.042, 15), (0.0121, 1), (0.011, 0), (-1.0, 0)])
def test_no_more_rows_than_the_deadline_bears(left_s: float, rows: int) -> None:
    model = taught((1, 0.012), (8, 0.026), (32, 0.074))
    assert rows_in_time(model, 32, left_s) in (rows, rows + 1) if rows > 1 else rows_in_time(model, 32, left_s) == rows


def test_nobody_is_refused_on_a_guess() -> None:
    assert rows_in_time(LatencyModel(), 32, 0.001) == 32


def test_the_margin_is_learned_from_how_far_batches_lie_from_the_line() -> None:
    steady, shaky = LatencyModel(), LatencyModel()
    for turn in range(500):
        rows, sign = 1 + turn % 32, 1 if turn % 2 else -1
        steady.observe(rows, 0.010 + 0.002 * rows)
        shaky.observe(rows, (0.010 + 0.002 * rows) * (1 + 0.1 * sign))
    assert steady.margin < 0.001
    assert shaky.margin == pytest.approx(0.33, rel=0.1)
    assert shaky.bound_s(16) == pytest.approx(shaky.predict_s(16) * (1 + shaky.margin))


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0.0001, 10)), max_size=50), st.floats(-1, 100))
def test_rows_within_a_time_are_those_whose_bound_is(pairs: list[tuple[int, float]], left_s: float) -> None:
    model = LatencyModel()
    for rows, seconds in pairs:
        model.observe(rows, seconds)
    most = model.rows_within(left_s)
    if most >= 1 and most < 10_000:
        assert model.bound_s(int(most)) <= left_s * 1.000001 + 1e-9
        assert model.bound_s(int(most) + 1) > left_s * 0.999999 - 1e-9
    elif most == 0 and left_s >= 0:
        assert model.bound_s(1) > left_s * 0.999999 - 1e-9


@pytest.mark.parametrize("left_s, rows", [(inf, inf), (1e300, inf), (-inf, 0), (nan, 0)])
def test_however_much_time_there_is_the_rows_are_a_number(left_s: float, rows: float) -> None:
    model = taught((1, 0.012), (8, 0.026), (32, 0.074))
    assert model.rows_within(left_s) == rows or 1e300 < model.rows_within(left_s) < rows
    assert rows_in_time(model, 32, left_s) == (32 if rows else 0)


@pytest.mark.parametrize("rows, seconds", [(0, 1.0), (-3, 1.0), (4, -1.0), (4, nan), (4, inf), (4, 1.7e308), (4, 1e5)])
def test_what_cannot_be_is_not_believed(rows: int, seconds: float) -> None:
    model = LatencyModel()
    model.observe(rows, seconds)
    assert not model.known
