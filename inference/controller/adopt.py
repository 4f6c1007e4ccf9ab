"""Taking over a pool that runs already: a controller that ends leaves its workers, and its successor adopts them."""

from collections.abc import Iterable

from inference.controller.roster import Roster
from inference.drivers.base import Running
from inference.status import Endpoints, ReplicaState


def adopt(
    roster: Roster, running: Iterable[Running], endpoints: Endpoints | None, now_s: float, wall_s: float
) -> dict[str, ReplicaState]:
    """Enter living workers into the roster, in the state that was last published of them.

    A ready one stays ready for the gateways until it has said otherwise itself: a change of controllers must not cost
    a request.
    """
    published = {one.replica: one for one in endpoints.replicas} if endpoints is not None else {}
    assumed = {}
    for one in running:
        started_s = now_s - max(0.0, wall_s - one.started_at_s)
        roster.since_s[one.replica] = started_s
        endpoint = published.get(one.replica)
        if endpoint is None or endpoint.digest != one.digest or endpoint.address != one.address:
            continue
        assumed[one.replica] = endpoint.state
        if endpoint.state is ReplicaState.READY:
            roster.ready_at_s[one.replica] = started_s
        elif endpoint.state is ReplicaState.DRAINING:
            roster.draining_at_s[one.replica] = now_s
    return assumed
