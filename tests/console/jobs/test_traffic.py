"""Demo traffic leaves at its rate, stops by itself, and says how it was answered."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.gateway_stand import Stand, stand_in

from console.jobs.running import Cancelled
from console.jobs.traffic import SENDERS, send_traffic
from console.lib.actors import SYSTEM
from console.lib.errors import Conflict
from console.registry.programs import unheard
from console.serving.services import set_stable_version
from inference.protocol.json_codec import decode_request

pytestmark = pytest.mark.django_db


@pytest.fixture
def gateway(settings: Any) -> Iterator[Stand]:
    with stand_in() as stand:
        settings.GATEWAY_URL = stand.url
        yield stand


@pytest.fixture
def served(model: Any, make_version: Callable) -> Any:
    set_stable_version(model=model, to=make_version(model), seen=0, actor=SYSTEM)
    return model


def test_requests_leave_at_the_rate_for_the_time_and_are_valid(gateway: Stand, served: Any) -> None:
    sent = send_traffic(model="echo", rate_per_s=50, seconds=1, beat=unheard)
    assert sent.planned == sent.ok == len(gateway.requests) == 50
    request = decode_request("echo", "", gateway.requests[0].body)
    assert (request.inputs[0].name, list(request.inputs[0].shape)) == ("x", [1, 4])


def test_refusals_and_silence_are_counted(gateway: Stand, served: Any, settings: Any) -> None:
    gateway.status = 503
    refused = send_traffic(model="echo", rate_per_s=20, seconds=0.2, beat=unheard)
    assert (refused.ok, refused.refused) == (0, 4)
    settings.GATEWAY_URL = "http://127.0.0.1:1"
    failed = send_traffic(model="echo", rate_per_s=20, seconds=0.2, beat=unheard)
    assert (failed.ok, failed.failed) == (0, 4)
    assert "4 unanswered" in failed.sentence


def test_a_stuck_gateway_holds_a_bounded_number_of_requests(gateway: Stand, served: Any) -> None:
    gateway.hold.clear()

    def beat(percent: float, message: str) -> None:
        if percent > 80:
            gateway.hold.set()

    sent = send_traffic(model="echo", rate_per_s=50, seconds=1.2, beat=beat)
    assert len(gateway.requests) <= sent.planned - sent.skipped
    assert sent.skipped >= 50 * 0.9 - SENDERS - 10
    assert sent.ok + sent.skipped == sent.planned


def test_it_stops_when_told(gateway: Stand, served: Any) -> None:
    def beat(percent: float, message: str) -> None:
        if percent > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        send_traffic(model="echo", rate_per_s=50, seconds=100, beat=beat)
    assert len(gateway.requests) <= 60


def test_a_model_that_serves_nothing_gets_none(gateway: Stand, model: Any) -> None:
    with pytest.raises(Conflict, match="set its stable version"):
        send_traffic(model="echo", rate_per_s=1, seconds=1, beat=unheard)
