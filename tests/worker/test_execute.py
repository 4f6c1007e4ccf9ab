"""One batch: who is answered, who fails, with which code, and that nobody fails for another."""

import numpy as np
import pytest
from support.peer import floats

from inference.errors import BadInput, ModelFailed
from inference.processors.base import BadRow
from inference.protocol.messages import Tensor
from inference.protocol.tensors import to_numpy
from inference.spec import TensorSpec
from inference.transport.batch import Batch
from inference.transport.frames import Item, TensorHead, head_of, tensors_of
from inference.worker.execute import execute
from inference.worker.failures import DeviceLost

X = TensorSpec(name="x", datatype="FP32", shape=(-1, -1))


class Doubler:
    """y = 2x. Each run is noted in `runs`; values of 13 and above are bad luck of different kinds."""

    inputs = (X,)
    outputs = (TensorSpec(name="y", datatype="FP32", shape=(-1, -1), finite=True),)

    def __init__(self) -> None:
        self.runs: list[int] = []

    def run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = batch["x"]
        self.runs.append(len(x))
        if (x == 13).any():
            raise ZeroDivisionError("the weights are in /secret/path")
        if (x == 14).any():
            raise BadRow("x", int(np.argmax((x == 14).any(axis=1))), "is fourteen.")
        if (x == 15).any():
            raise ModelFailed("Out of luck.")
        if (x == 16).any():
            raise ModelFailed("It failed.") from RuntimeError("CUDA error: an illegal memory access was encountered")
        if (x == 17).any():
            return {"y": x[:0]}
        return {"y": np.where(x == 18, np.nan, 2 * x).astype(np.float32)}


FORM = {"joined": False}


@pytest.fixture(params=["apart", "joined"], autouse=True)
def form(request: pytest.FixtureRequest) -> str:
    """Everything here holds whether a batch comes joined or its items apart."""
    FORM["joined"] = request.param == "joined"
    return str(request.param)


def batch_of(*items: list[Tensor], deadline_ms: int = 0, arrived_s: float = 0.0, cancelled: tuple = ()) -> Batch:
    if FORM["joined"] and len({tuple((t.name, t.datatype, t.shape[1:]) for t in item) for item in items}) == 1:
        heads = [Item(item[0].shape[0], deadline_ms, []) for item in items]
        columns = list(zip(*items, strict=True))
        joined = [
            TensorHead(
                column[0].name,
                column[0].datatype,
                (sum(tensor.shape[0] for tensor in column), *column[0].shape[1:]),
                sum(len(tensor.data) for tensor in column),
            )
            for column in columns
        ]
        body = b"".join(bytes(tensor.data) for column in columns for tensor in column)
        return Batch(None, 1, heads, memoryview(body), arrived_s, set(cancelled), joined)
    heads = [Item(item[0].shape[0], deadline_ms, [head_of(tensor) for tensor in item]) for item in items]
    body = b"".join(bytes(tensor.data) for item in items for tensor in item)
    return Batch(None, 1, heads, memoryview(body), arrived_s, set(cancelled))


def answers_of(batch: Batch, model: Doubler | None = None, max_rows: int = 8) -> list[list | str]:
    results, body, _, joined = execute(model or Doubler(), batch, max_rows, clock=lambda: 1.0)
    data, offset, answers = memoryview(b"".join(body)), 0, []
    if joined:
        tensors, offset = tensors_of(joined, data)
        assert offset == len(data)
        return [part.tolist() for part in np.split(to_numpy(tensors[0]), np.cumsum([i.rows for i in batch.items])[:-1])]
    for result in results:
        tensors, offset = tensors_of(result.tensors, data, offset)
        answers.append(result.error or to_numpy(tensors[0]).tolist())
    assert offset == len(data)
    return answers


def test_all_items_of_a_batch_share_one_run() -> None:
    model = Doubler()
    assert answers_of(batch_of(floats([1]), floats([2], [3])), model) == [[[2]], [[4], [6]]]
    assert model.runs == [3]


def test_an_item_that_does_not_fit_fails_before_the_run_and_alone() -> None:
    model, bad = Doubler(), [Tensor("z", "FP32", (1, 1), bytes(4))]
    assert answers_of(batch_of(floats([1]), bad, floats([2])), model) == [[[2]], "bad_input", [[4]]]
    assert model.runs == [2]


def test_an_item_that_makes_the_model_raise_fails_alone_after_one_more_try_each() -> None:
    model = Doubler()
    assert answers_of(batch_of(floats([1]), floats([13]), floats([2])), model) == [[[2]], "model_failed", [[4]]]
    assert model.runs == [3, 1, 1, 1]


def test_a_client_hears_the_kind_of_an_error_and_nothing_of_its_text() -> None:
    results, _, _, _ = execute(Doubler(), batch_of(floats([13])), 8)
    assert "ZeroDivisionError" in results[0].message
    assert "secret" not in results[0].message


def test_our_own_errors_reach_the_client_as_they_are() -> None:
    results, _, _, _ = execute(Doubler(), batch_of(floats([15])), 8)
    assert (results[0].error, results[0].message) == ("model_failed", "Out of luck.")


def test_a_row_that_a_processor_names_fails_alone_and_the_others_share_the_second_run() -> None:
    model = Doubler()
    batch = batch_of(floats([1]), floats([2], [14]), floats([3]))
    assert answers_of(batch, model) == [[[2]], "bad_input", [[6]]]
    assert model.runs == [4, 2]
    results, _, _, _ = execute(model, batch, 8)
    assert results[1].message.startswith("Row 1 of input 'x'")  # as the client counts


def test_wrong_rows_from_the_model_fail_the_item_and_not_its_mates() -> None:
    assert answers_of(batch_of(floats([1]), floats([17]))) == [[[2]], "model_failed"]


def test_nan_in_an_output_that_must_be_finite_fails_its_item_alone_and_runs_nothing_again() -> None:
    model = Doubler()
    assert answers_of(batch_of(floats([1]), floats([2], [18])), model) == [[[2]], "output_not_finite"]
    assert model.runs == [3]


def test_items_of_another_form_run_apart() -> None:
    model = Doubler()
    assert answers_of(batch_of(floats([1]), floats([2, 3]), floats([4])), model) == [[[2]], [[4, 6]], [[8]]]
    assert model.runs == [2, 1]


def test_memory_that_is_collated_into_again_does_not_change_answers_given_before() -> None:
    class Same(Doubler):
        def run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"y": batch["x"]}

    slab = np.zeros(64, np.float32)
    results, body, _, _ = execute(
        Same(),
        batch_of(floats([1], [2]), floats([3], [4])),
        max_rows=2,
        empty=lambda name, shape, dtype: slab[: int(np.prod(shape))].reshape(shape),
    )
    assert [np.frombuffer(part, np.float32).tolist() for part in body] == [[1, 2], [3, 4]]
    assert not any(result.error for result in results)


def test_no_run_has_more_rows_than_the_policy_allows() -> None:
    model = Doubler()
    answers = answers_of(batch_of(*[floats([n], [n]) for n in range(5)]), model, max_rows=4)
    assert answers == [[[2 * n], [2 * n]] for n in range(5)]
    assert model.runs == [4, 4, 2]


def test_an_item_with_more_rows_than_the_policy_allows_is_refused() -> None:
    assert answers_of(batch_of(floats([1], [2], [3]), floats([1])), max_rows=2) == ["bad_input", [[2]]]


@pytest.mark.parametrize("deadline_ms, answer", [(0, [[2]]), (600, [[2]]), (400, "deadline_passed")])
def test_an_item_past_its_deadline_is_not_run(deadline_ms: int, answer: object) -> None:
    assert answers_of(batch_of(floats([1]), deadline_ms=deadline_ms, arrived_s=0.5)) == [answer]


def test_cancelled_items_are_not_run() -> None:
    model = Doubler()
    assert answers_of(batch_of(floats([1]), floats([2]), cancelled=(0, 1)), model) == ["cancelled", "cancelled"]
    assert model.runs == []


def test_a_broken_device_ends_the_worker_instead_of_failing_every_request_to_come() -> None:
    with pytest.raises(DeviceLost):
        execute(Doubler(), batch_of(floats([1]), floats([16])), 8)


def test_times_are_told() -> None:
    _, _, took, _ = execute(Doubler(), batch_of(floats([1])), 8)
    assert min(took.collate_ns, took.infer_ns, took.split_ns) > 0


def test_bad_row_is_bad_input() -> None:
    assert issubclass(BadRow, BadInput)


class Slow(Doubler):
    """A model during whose run time passes and clients hang up; it writes to what it is given."""

    def __init__(self, batch: Batch, cancel: tuple[int, ...] = ()):
        super().__init__()
        self.batch, self.cancel, self.now_s = batch, cancel, 1.0

    def run(self, batch: dict) -> dict:
        self.batch.cancelled.update(self.cancel)
        self.now_s += 10.0
        outputs = super().run({"x": batch["x"].copy()})
        batch["x"] *= 100
        return outputs


def answers_of_slow(batch: Batch, cancel: tuple[int, ...] = ()) -> list:
    model = Slow(batch, cancel)
    results, body, _, joined = execute(model, batch, 8, clock=lambda: model.now_s)
    assert not joined
    data, offset, answers = memoryview(b"".join(body)), 0, []
    for result in results:
        tensors, offset = tensors_of(result.tensors, data, offset)
        answers.append(result.error or to_numpy(tensors[0]).tolist())
    return answers


@pytest.mark.parametrize("cancel", [(), (0,), (1,), (0, 1, 2)])
def test_each_gets_its_own_answer_whoever_ran_late_or_hung_up_during_the_run(cancel: tuple, form: str) -> None:
    if form == "apart":
        pytest.skip("about batches that come joined")
    nan = batch_of(floats([1]), floats([2]), floats([18]), floats([4]), deadline_ms=2000, arrived_s=0.5)
    assert answers_of_slow(nan, cancel) == [[[2]], [[4]], "output_not_finite", [[8]]]
    named = batch_of(floats([1]), floats([2]), floats([14]), deadline_ms=2000, arrived_s=0.5)
    assert answers_of_slow(named, cancel) == [[[2]], [[4]], "bad_input"]


class Writer(Doubler):
    """It writes to its input before it raises."""

    def run(self, batch: dict) -> dict:
        asked = batch["x"].copy()
        batch["x"] *= 100
        return super().run({"x": asked})


def test_what_a_model_wrote_to_its_input_is_not_what_its_batch_mates_are_tried_with() -> None:
    batch = batch_of(floats([1]), floats([13]), floats([2]))
    batch.body = memoryview(bytearray(batch.body))  # the frame's own memory, as of a large one
    assert answers_of(batch, Writer()) == [[[2]], "model_failed", [[4]]]
