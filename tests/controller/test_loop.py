"""What the controller publishes and tells, turn by turn, over workers whose world the test moves."""

import pytest
from msgspec.structs import replace
from support.versions import make_model, make_pool, make_version

from inference.drivers.base import Gone
from inference.spec import ModelSpec
from inference.status import ReplicaState
from inference.sync.files import DocumentFolder

pytestmark = pytest.mark.asyncio


def pool(**facts) -> tuple:
    return "pool", "default", make_pool(**facts)


def model(*versions, **facts) -> tuple:
    return "spec", "m", make_model("m", *versions, **facts)


async def test_a_version_is_published_ready_only_when_its_worker_says_so(room):
    await room.write(pool(), model(make_version(1)))
    await room.turn()
    (replica,) = room.driver.jobs
    assert room.endpoints == {replica: "starting"}

    room.driver.states[replica] = ReplicaState.WARMING
    await room.turn(1.0)
    assert room.endpoints == {replica: "warming"}

    room.driver.finish_loading(replica)
    await room.turn(1.0)
    assert room.endpoints == {replica: "ready"}
    assert [event.kind for event in room.told["event"]] == ["worker.ready", "version.ready"]


async def test_endpoints_lie_on_disk_for_gateways_that_cannot_ask_redis(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()

    on_disk = {kind: document for kind, _, document in DocumentFolder(room.data / "documents").load()}
    assert [one.state for one in on_disk["endpoints"].replicas] == [ReplicaState.READY]
    assert on_disk["effective"].generation == 1


async def test_nothing_is_written_while_nothing_changes(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    before = room.feed.documents
    for _ in range(5):
        await room.turn(1.0)

    assert room.feed.documents is before


async def test_the_old_version_keeps_the_traffic_until_the_new_one_is_ready_then_drains(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    (old,) = room.driver.jobs
    await room.write(model(make_version(1), make_version(2), stable=2, generation=2))
    await room.turn(1.0)
    assert room.weights() == [1]
    assert room.endpoints[old] == "ready"

    await room.settle()
    assert room.weights() == [2]
    assert room.feed.documents.effective["m"].generation == 2

    await room.write(model(make_version(2), stable=2, generation=3))
    await room.turn(1.0)
    assert room.endpoints[old] == "draining"
    assert old in room.driver.jobs, "gateways hear of it before it stops"
    await room.settle()
    assert list(room.endpoints.values()) == ["ready"]


async def test_versions_come_and_go_alone(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    (first,) = room.driver.jobs
    await room.write(model(make_version(1), make_version(2), generation=2))
    await room.settle()
    await room.write(model(make_version(1), generation=3))
    await room.settle()

    assert list(room.driver.jobs) == [first]
    assert room.driver.starts.count(first) == 1


async def test_a_crashed_worker_is_started_again_in_the_same_turn_under_its_name_and_address(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    (replica,) = room.driver.jobs
    address = room.driver.jobs[replica].address
    room.driver.crash(replica)
    await room.turn(0.2)

    assert room.driver.jobs[replica].address == address
    assert room.endpoints == {replica: "starting"}
    await room.settle(2)
    assert room.told["worker"][-1].restarts == 1
    assert room.weights() == [1], "a crash moves no traffic"


async def test_a_crash_loop_shows_as_failed_with_its_reason_and_the_time_of_the_next_try(room):
    await room.write(pool(), model(make_version(1)))
    for _ in range(8):
        await room.turn(4.0)
        for replica in list(room.driver.jobs):
            room.driver.crash(replica, 3)
    await room.turn(1.1)

    row = room.told["worker"][-1]
    assert (row.state, row.reason.split(".")[0]) == (ReplicaState.FAILED, "Its artifact is corrupt or unsafe")
    assert row.retry_at_s > room.driver.now_s
    assert room.endpoints == {}


async def test_the_reason_that_a_failing_worker_gave_is_the_one_that_is_shown(room):
    await room.write(pool(), model(make_version(1)))
    await room.turn()
    (replica,) = room.driver.jobs
    room.driver.gone.append(Gone(replica, 1, "line one\nRuntimeError: no such operator\n"))
    room.driver.jobs.pop(replica)
    await room.turn(0.2)

    assert "RuntimeError: no such operator" in room.told["event"][-1].message


async def test_a_worker_that_hangs_is_killed_and_replaced(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    (replica,) = room.driver.jobs
    room.driver.hang(replica)
    for _ in range(12):
        await room.turn(4.0)
    await room.settle(2)

    assert room.endpoints == {replica: "ready"}
    assert room.driver.starts.count(replica) == 2
    lost = next(event for event in room.told["event"] if event.kind == "worker.lost")
    assert "no sign of life" in lost.message


async def test_a_controller_that_was_stopped_itself_does_not_blame_its_workers(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    room.driver.now_s += 3_600.0  # the whole machine slept: no heartbeat came, and none could
    await room.controller.turn()
    await room.turn(1.0)

    assert len(room.driver.starts) == 1


async def test_a_successor_adopts_the_workers_and_restarts_none(room, next_room):
    await room.write(pool(), model(make_version(1), make_version(2)))
    await room.settle()
    endpoints, starts = room.endpoints, list(room.driver.starts)
    fence = room.feed.documents.endpoints["default"].fence
    room.driver.beats = dict  # it takes a moment until the workers speak to the new one
    successor = next_room(room)
    await successor.turn()

    assert successor.endpoints == endpoints, "ready ones stay ready for the gateways meanwhile"
    assert successor.feed.documents.endpoints["default"].fence == fence + 1
    assert successor.driver.starts == starts
    assert [event.kind for event in successor.told["event"]] == ["controller.adopted"]


async def test_a_successor_finishes_the_drain_that_its_predecessor_began(room, next_room):
    await room.write(pool(), model(make_version(1), make_version(2)))
    await room.settle()
    await room.write(model(make_version(1), generation=2))
    await room.turn(0.1)
    assert "draining" in room.endpoints.values()
    successor = next_room(room)
    await successor.settle(3)

    assert [job.version.number for job in successor.driver.jobs.values()] == [1]


async def test_without_news_of_the_pool_what_runs_goes_on_and_nothing_starts(room):
    await room.write(model(make_version(1)))
    await room.turn(1.0)

    assert room.driver.starts == []
    assert "not" not in room.told["controller"][-1].message or "known" in room.told["controller"][-1].message


async def test_a_deleted_model_is_unloaded_and_its_weights_end(room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    await room.write(("spec", "m", ModelSpec(name="m", epoch="e", generation=2, deleted=True)))
    await room.settle()

    assert room.driver.jobs == {}
    assert room.weights() == []


async def test_what_finds_no_room_has_a_row_and_the_controller_says_it(room):
    await room.write(pool(max_workers=1), model(make_version(1), make_version(2)))
    await room.settle(2)

    rows = {row.replica: row for row in room.told["worker"]}
    assert rows["m-2-u0"].state is ReplicaState.FAILED
    assert "Raise max_workers" in rows["m-2-u0"].reason
    assert "m 2: No room" in room.told["controller"][-1].message


async def test_spares_wait_until_nothing_loads(room):
    await room.write(("pool", "default", replace(make_pool(), spares=2)), model(make_version(1)))
    await room.turn()
    assert room.driver.spares == 0
    await room.settle(2)

    assert room.driver.spares == 2


async def test_a_controller_without_the_seat_touches_nothing(room, next_room):
    await room.write(pool(), model(make_version(1)))
    await room.settle()
    rival = type(room)(room.data, room.driver)
    await rival.write(model(make_version(2), stable=2, generation=2))
    await rival.turn(1.0)

    assert not rival.seat.acts()
    assert [job.version.number for job in rival.driver.jobs.values()] == [1]
