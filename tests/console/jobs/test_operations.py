"""Long work: started with its reason or not at all, followed, cancelled, tried again within bounds, never lost."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from console.jobs import running, selectors, services
from console.jobs.choices import OperationKind, OperationState
from console.jobs.housekeeping import forget_old, recover_orphans
from console.jobs.identity import is_alive, worker_name
from console.jobs.models import Operation
from console.jobs.running import attempt
from console.lib.actors import SYSTEM
from console.lib.errors import Busy, Invalid, InvalidTransition

pytestmark = pytest.mark.django_db


@pytest.fixture
def start() -> Callable[..., Operation]:
    def call(**fields: Any) -> Operation:
        return services.start_operation(OperationKind.VALIDATE, "echo/1", {"version": 0}, actor=SYSTEM, **fields)

    return call


def run(operation: Operation, work: running.Work) -> Operation:
    attempt(operation.pk, {OperationKind.VALIDATE: work, OperationKind.TRAFFIC: work})
    operation.refresh_from_db()
    return operation


def test_work_is_queued_with_the_change_that_asks_for_it_or_not_at_all(start: Callable[..., Operation]) -> None:
    class Refused(Exception):
        pass

    def change() -> None:
        with transaction.atomic():
            start()
            raise Refused

    with pytest.raises(Refused):
        change()
    assert (Operation.objects.count(), DBTaskResult.objects.count()) == (0, 0)
    operation = start()
    assert DBTaskResult.objects.get().args_kwargs["args"] == [operation.pk]


def test_a_persons_upload_goes_before_what_nobody_waits_for(start: Callable[..., Operation]) -> None:
    services.start_demo(actor=SYSTEM)
    upload = start()
    assert DBTaskResult.objects.ready().first().args_kwargs["args"] == [upload.pk]


def test_work_ends_with_its_result(start: Callable[..., Operation]) -> None:
    done = run(start(), lambda operation, beat: {"message": "All well", "answer": 42})
    assert (done.state, done.progress, done.message) == (OperationState.SUCCEEDED, 100, "All well")
    assert (done.result["answer"], done.attempts, done.error) == (42, 1, None)


def test_progress_is_written_while_it_works(start: Callable[..., Operation]) -> None:
    seen = []

    def work(operation: Operation, beat: running.Beat) -> dict:
        beat(30, "A third")
        seen.append(Operation.objects.values_list("progress", "message", "state").get())
        return {"message": ""}

    run(start(), work)
    assert seen == [(30.0, "A third", "running")]


def test_an_unforeseen_error_is_tried_again_within_bounds_and_then_said(start: Callable[..., Operation]) -> None:
    def broken(operation: Operation, beat: running.Beat) -> dict:
        raise RuntimeError("secret detail")

    operation = run(start(max_attempts=2), broken)
    assert (operation.state, operation.attempts) == (OperationState.QUEUED, 1)
    assert DBTaskResult.objects.ready().count() == 1  # the first; the second waits a little
    operation = run(operation, broken)
    assert (operation.state, operation.attempts) == (OperationState.FAILED, 2)
    assert operation.error["code"] == "internal"
    assert "secret" not in operation.error["detail"]


@pytest.mark.parametrize("error, state", [(Invalid("no"), "failed"), (Busy("later"), "queued")])
def test_a_refusal_is_final_unless_time_may_mend_it(
    error: Exception, state: str, start: Callable[..., Operation]
) -> None:
    def refuse(operation: Operation, beat: running.Beat) -> dict:
        raise error

    assert run(start(), refuse).state == state


def test_queued_work_is_cancelled_at_once_and_does_not_run(start: Callable[..., Operation]) -> None:
    operation = services.cancel_operation(operation=start(), actor=SYSTEM)
    ran = []
    operation = run(operation, lambda operation, beat: ran.append(1) or {"message": ""})
    assert (operation.state, ran) == (OperationState.CANCELLED, [])
    with pytest.raises(InvalidTransition, match="ended"):
        services.cancel_operation(operation=operation, actor=SYSTEM)


def test_work_in_hand_stops_at_its_next_step_when_cancelled(start: Callable[..., Operation]) -> None:
    steps = []

    def work(operation: Operation, beat: running.Beat) -> dict:
        steps.append(1)
        services.cancel_operation(operation=Operation.objects.get(pk=operation.pk), actor=SYSTEM)
        beat(50, "Half")
        steps.append(2)
        return {"message": ""}

    assert run(start(), work).state == OperationState.CANCELLED
    assert steps == [1]


def test_the_programs_end_puts_work_back_without_counting_it(start: Callable[..., Operation]) -> None:
    def work(operation: Operation, beat: running.Beat) -> dict:
        running.stopping.set()
        beat(50, "Half")
        return {"message": ""}

    try:
        operation = run(start(max_attempts=1), work)
    finally:
        running.stopping.clear()
    assert (operation.state, operation.attempts, operation.worker) == (OperationState.QUEUED, 0, "")
    assert run(operation, lambda operation, beat: {"message": "done"}).state == OperationState.SUCCEEDED


def orphan(operation: Operation, worker: str, beat_age_s: float = 0.0, **fields: Any) -> Operation:
    """As a killed worker leaves it."""
    beat_at = timezone.now() - timedelta(seconds=beat_age_s)
    values = {"state": OperationState.RUNNING, "worker": worker, "attempts": 1, "beat_at": beat_at, **fields}
    Operation.objects.filter(pk=operation.pk).update(**values)
    return operation


DEAD = worker_name().rpartition(":")[0] + ":1.00"  # our pid, but started in 1970: somebody else's


def test_an_attempt_whose_worker_died_is_made_again_while_attempts_are_left(start: Callable[..., Operation]) -> None:
    operation = orphan(start(max_attempts=2), DEAD)
    assert recover_orphans() == 1
    assert run(operation, lambda operation, beat: {"message": "done"}).state == OperationState.SUCCEEDED


def test_without_attempts_left_it_is_failed_and_said(start: Callable[..., Operation]) -> None:
    operation = orphan(start(max_attempts=1), DEAD)
    recover_orphans()
    operation.refresh_from_db()
    assert (operation.state, operation.error["code"]) == (OperationState.FAILED, "orphaned")


@pytest.mark.parametrize("end", ["orphaned", "cancelled"])
def test_an_export_that_will_never_run_leaves_no_version_that_waits_for_it(
    end: str, model: Any, make_version: Callable
) -> None:
    version = make_version(model)
    version.format = "safetensors"
    version.save()
    operation = services.export_version(version=version, actor=SYSTEM)
    if end == "orphaned":
        orphan(operation, DEAD)
        recover_orphans()
    else:
        services.cancel_operation(operation=operation, actor=SYSTEM)
    made = model.versions.get(number=2)
    assert (made.state, bool(made.refusals[0]["why"])) == ("refused", True)
    assert services.export_version(version=version, actor=SYSTEM).pk != operation.pk


@pytest.mark.parametrize("worker, beat_age_s", [(worker_name(), 999), ("elsewhere:1:1.00", 5)])
def test_work_of_a_living_worker_is_left_alone(worker: str, beat_age_s: float, start: Callable[..., Operation]) -> None:
    orphan(start(), worker, beat_age_s)
    assert recover_orphans() == 0


def test_a_silent_worker_on_another_machine_is_taken_for_dead(start: Callable[..., Operation]) -> None:
    orphan(start(), "elsewhere:1:1.00", 61)
    assert recover_orphans() == 1


def test_a_late_end_of_a_recovered_attempt_changes_nothing(start: Callable[..., Operation]) -> None:
    operation = start(max_attempts=1)

    def work(taken: Operation, beat: running.Beat) -> dict:
        Operation.objects.filter(pk=taken.pk).update(state=OperationState.FAILED, worker="")
        return {"message": "too late"}

    assert run(operation, work).state == OperationState.FAILED


def test_a_pid_is_trusted_only_with_its_start_time() -> None:
    assert is_alive(worker_name()) is True
    assert is_alive(DEAD) is False
    assert is_alive("elsewhere:1:1.00") is None


def test_old_ends_are_forgotten(start: Callable[..., Operation]) -> None:
    old, new = start(), start()
    for operation, age in ((old, 31), (new, 1)):
        Operation.objects.filter(pk=operation.pk).update(
            state=OperationState.SUCCEEDED, finished_at=timezone.now() - timedelta(days=age)
        )
    forget_old()
    assert list(Operation.objects.all()) == [new]


def test_operations_over_rest(start: Callable[..., Operation], api: Any, viewer: Any, api_as: Callable) -> None:
    operation = start()
    url = f"/api/v1/operations/{operation.pk}/"
    assert api_as(viewer).get(url).json()["state"] == "queued"
    assert api.get("/api/v1/operations/?kind=validate&state=queued").json()["count"] == 1
    assert api.get("/api/v1/operations/?state=failed").json()["count"] == 0
    assert api_as(viewer).delete(url).status_code == 403
    assert api.delete(url).json()["state"] == "cancelled"
    assert api.delete(url).status_code == 409


def test_one_run_of_demo_traffic_at_a_time_within_bounds(model: Any, api: Any) -> None:
    url = "/api/v1/system/demo:traffic"
    assert api.get(url).status_code == 404
    for body in ({"rate_per_s": 51}, {"seconds": 181}, {"rate_per_s": 0}, {"seconds": -1}):
        assert api.post(url, {"model": "echo", **body}).status_code == 422
    begun = time.monotonic()
    started = api.post(url, {"model": "echo", "rate_per_s": 20, "seconds": 30})
    assert (started.status_code, started.json()["kind"]) == (202, "traffic")
    assert time.monotonic() - begun < 5  # it only starts
    assert api.post(url, {"model": "echo"}).status_code == 409
    assert api.get(url).json()["id"] == started.json()["id"]
    assert api.delete(url).json()["state"] == "cancelled"
    assert selectors.demo_traffic().state == OperationState.CANCELLED
    assert api.delete(url).status_code == 404
