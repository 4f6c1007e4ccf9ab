"""Documents change; the gateway follows within moments, and starts from what lies on disk."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis

from inference.spec import (
    DOCUMENTS,
    FEED,
    FEED_LENGTH,
    FEED_REVISION,
    PUBLISH,
    Assignment,
    Traffic,
    Weight,
    decode,
    encode,
)
from inference.status import GATEWAYS, TELEMETRY, GatewayStatus, TelemetrySecond


def until(what: Callable[[], object], deadline_s: float = 8.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not what():
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.02)


def two_versions(builders: Any, generation: int = 1, *percents: float) -> Any:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    weights = tuple(Weight(version=n + 1, percent=p) for n, p in enumerate(percents or (100.0, 0.0)))
    versions = (builders["version"](1, signature), builders["version"](2, signature))
    return builders["model"]("linear", *versions, generation=generation, traffic=Traffic(weights=weights))


def answered_by(gateway: Any) -> str:
    status, body, _ = gateway.infer([1, 0, 0, 0])
    assert status == 200, body
    return body["model_version"]


def test_traffic_moves_when_the_weights_do(site: Any, builders: Any) -> None:
    site.serve(two_versions(builders))
    gateway = site.start_gateway()
    assert answered_by(gateway) == "1"
    site.publish("spec", "linear", two_versions(builders, 2, 0.0, 100.0))
    until(lambda: answered_by(gateway) == "2")
    site.publish_effective("linear", (1, 100), generation=2)  # the controller's word counts, whatever the spec wants
    until(lambda: answered_by(gateway) == "1")


def test_weights_split_the_traffic(site: Any, builders: Any) -> None:
    site.serve(two_versions(builders, 1, 70.0, 30.0))
    gateway = site.start_gateway()
    share = [answered_by(gateway) for _ in range(300)].count("2") / 300
    assert 0.2 < share < 0.4


def test_a_revoked_key_is_out_and_a_deleted_model_gone(site: Any, builders: Any) -> None:
    site.serve(two_versions(builders))
    gateway = site.start_gateway()
    assert gateway.infer([1, 0, 0, 0])[0] == 200
    site.publish(
        "spec", "linear", builders["model"]("linear", *two_versions(builders).versions, generation=2, deleted=True)
    )
    until(lambda: gateway.infer([1, 0, 0, 0])[0] == 404)
    site.publish("keys", "all", builders["keys"](2, without="sy_testtest_all"))
    until(lambda: gateway.infer([1, 0, 0, 0])[0] == 401)


def test_a_new_version_is_served_as_soon_as_it_has_a_replica(site: Any, builders: Any) -> None:
    first = two_versions(builders)
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(first)
    gateway = site.start_gateway()
    third = builders["version"](3, signature)
    model = builders["model"]("linear", *first.versions, third, generation=2)
    site.publish("spec", "linear", model)
    until(lambda: gateway.infer([1, 0, 0, 0], version="3")[0] == 503)  # known, not loaded
    site.start_worker(model, third, third.units[0], 0)
    site.publish_endpoints()
    until(lambda: gateway.infer([1, 0, 0, 0], version="3")[0] == 200)


def test_a_version_that_left_and_came_back_is_served_again(site: Any, builders: Any) -> None:
    both = two_versions(builders)
    site.serve(both)
    gateway = site.start_gateway()
    assert gateway.infer([1, 0, 0, 0], version="2")[0] == 200
    site.publish("spec", "linear", builders["model"]("linear", both.versions[0], generation=2))
    until(lambda: gateway.infer([1, 0, 0, 0], version="2")[0] == 404)
    site.publish("spec", "linear", two_versions(builders, 3))
    until(lambda: gateway.infer([1, 0, 0, 0], version="2")[0] == 200)


def test_it_starts_and_serves_with_redis_away(site: Any, builders: Any) -> None:
    site.serve(two_versions(builders))
    gateway = site.start_gateway(REDIS_URL=f"unix://{site.data}/no-such.sock")
    assert gateway.infer([1, 0, 0, 0])[0] == 200
    assert gateway.metric("switchyard_feed_connected") == 0


def test_it_hears_redis_acknowledges_and_reports_each_second(site: Any, builders: Any, valkey: str) -> None:
    site.serve(two_versions(builders))
    gateway = site.start_gateway(REDIS_URL=valkey)

    model = two_versions(builders, 7, 0.0, 100.0)
    with redis.Redis.from_url(valkey) as client:  # as the console does
        assert client.eval(
            PUBLISH, 3, DOCUMENTS.format(kind="spec"), FEED, FEED_REVISION, "spec", "linear", encode(model), FEED_LENGTH
        )
    until(lambda: answered_by(gateway) == "2")
    with redis.Redis.from_url(valkey) as client:

        def acknowledged() -> bool:
            found = client.hvals(GATEWAYS)
            if not found:
                return False
            status = decode(found[0], GatewayStatus)
            return status.connected and status.generations.get("spec/linear") == ("e", 7)

        def reported() -> int:
            seconds = [decode(fields[b"d"], TelemetrySecond) for _, fields in client.xrange(TELEMETRY)]
            assert len({second.second for second in seconds}) == len(seconds)
            return sum(s.ok for second in seconds for s in second.series if (s.model, s.version) == ("linear", 2))

        until(acknowledged)
        until(lambda: reported() >= 1)


@pytest.mark.parametrize("key", ["user-1", "user-2", "user-3"])
def test_a_sticky_key_gets_the_same_version_from_every_gateway(site: Any, builders: Any, key: str) -> None:
    model = two_versions(builders, 1, 50.0, 50.0)
    sticky = builders["model"](
        "linear", *model.versions, traffic=Traffic(weights=model.traffic.weights, assignment=Assignment.KEY, salt="s")
    )
    site.serve(sticky)
    gateways = [site.start_gateway(), site.start_gateway()]
    seen = {g.infer([1, 0, 0, 0], X_Canary_Key=key)[1]["model_version"] for g in gateways for _ in range(4)}
    assert len(seen) == 1


def test_a_version_that_cannot_run_as_written_harms_no_other(site: Any, builders: Any) -> None:
    good = two_versions(builders).versions[0]
    broken = msgspec.structs.replace(two_versions(builders).versions[1], stages=())
    model = builders["model"]("linear", good, broken)
    site.publish("spec", "linear", model)
    for version in model.versions:
        site.start_worker(builders["model"]("linear", good), good, good.units[0], version.number)
    wrong = msgspec.structs.replace(site.replicas["linear-1-main-2"], version=2, digest=broken.digest)
    site.replicas["linear-1-main-2"] = wrong
    site.publish_endpoints()
    gateway = site.start_gateway()
    assert gateway.infer([1, 0, 0, 0])[0] == 200
    assert gateway.infer([1, 0, 0, 0], version="2")[:1] == (500,)
    site.publish("spec", "linear", builders["model"]("linear", good, broken, generation=2, aliases={"best": 1}))
    until(lambda: gateway.infer([1, 0, 0, 0], version="best")[0] == 200)
