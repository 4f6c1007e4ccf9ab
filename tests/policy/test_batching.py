import pytest

from inference.policy.batching import LatencyModel, batch_rows, rows_in_time, wait_s, worth_second_slot
from inference.spec import BatchPolicy


@pytest.mark.parametrize(
    "waiting, free, max_size, rows",
    [(1, 1, 32, 1), (16, 1, 32, 16), (16, 2, 32, 8), (17, 2, 32, 9), (100, 2, 32, 32), (1, 4, 32, 1), (64, 3, 16, 16)],
)
def test_idle_replicas_share_what_waits(waiting: int, free: int, max_size: int, rows: int) -> None:
    assert batch_rows(waiting, free, max_size) == rows


@pytest.mark.parametrize(
    "waiting, age_s, max_wait_s, expected",
    [(1, 0.0, 0.0, 0.0), (1, 0.001, 0.005, 0.004), (1, 0.006, 0.005, 0.0), (8, 0.0, 0.005, 0.0)],
)
def test_a_batch_is_held_back_only_where_the_policy_says_so(
    waiting: int, age_s: float, max_wait_s: float, expected: float
) -> None:
    assert wait_s(waiting, age_s, BatchPolicy(max_size=8, max_wait_s=max_wait_s)) == pytest.approx(expected)


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
