"""Traffic moves without a gap: the old version answers until the new one is what gateways are really sent to."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from console.fleet.reports import mailbox
from console.lib.actors import SYSTEM
from console.lib.errors import Conflict
from console.registry import services as registry
from console.serving import services
from console.serving.selectors import live_versions
from inference import spec, status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def in_force(valkey: str) -> Callable[[dict[int, float]], None]:
    """Say, as the controller would, which weights gateways route by."""
    mailbox.forget()

    def put(weights: dict[int, float]) -> None:
        document = status.Effective(
            name="echo", epoch="e", generation=1, fence=1,
            weights=tuple(spec.Weight(version=number, percent=percent) for number, percent in weights.items()),
        )  # fmt: skip
        with redis.Redis.from_url(valkey) as client:
            client.hset(spec.DOCUMENTS.format(kind="effective"), "echo", spec.encode(document))

    return put


def live(model: Any) -> list[int]:
    return [version.number for version in live_versions(model)]


def test_the_old_version_stays_until_the_new_one_is_in_force(
    model: Any, make_version: Callable, in_force: Callable
) -> None:
    first, second = make_version(model), make_version(model)
    seen = services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM).row_version
    in_force({1: 100.0})
    services.set_stable_version(model=model, to=second, seen=seen, actor=SYSTEM)
    assert live(model) == [1, 2]
    assert services.settle_handovers() == 0
    assert live(model) == [1, 2]
    in_force({2: 100.0})
    assert services.settle_handovers() == 1
    assert live(model) == [2]


def test_nothing_is_let_go_while_redis_says_nothing(model: Any, make_version: Callable, valkey: str) -> None:
    mailbox.forget()
    first, second = make_version(model), make_version(model)
    seen = services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM).row_version
    services.set_stable_version(model=model, to=second, seen=seen, actor=SYSTEM)
    assert services.settle_handovers() == 0
    assert live(model) == [1, 2]


def test_a_version_that_gets_its_traffic_back_is_no_longer_outgoing(
    model: Any, make_version: Callable, in_force: Callable
) -> None:
    first, second = make_version(model), make_version(model)
    seen = services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM).row_version
    seen = services.set_stable_version(model=model, to=second, seen=seen, actor=SYSTEM).row_version
    services.set_stable_version(model=model, to=first, seen=seen, actor=SYSTEM)
    in_force({1: 100.0})
    services.settle_handovers()
    assert live(model) == [1]


def test_a_version_that_hands_over_cannot_be_archived(model: Any, make_version: Callable, valkey: str) -> None:
    first, second = make_version(model), make_version(model)
    seen = services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM).row_version
    services.set_stable_version(model=model, to=second, seen=seen, actor=SYSTEM)
    first.refresh_from_db()
    with pytest.raises(Conflict, match="hands over"):
        registry.archive_version(version=first, seen=first.row_version, actor=SYSTEM)
