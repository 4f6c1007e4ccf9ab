"""The mailbox of one socket: what waits to be sent, bounded, and what gives way when the reader is slow.

States: the latest wins, and what changed is found when it is sent. Points: they wait in order; when the box is full
those of the subscription that has most give way to one `gap`, and that subscription is silent until it is asked for
anew. Events and answers are never dropped; a box full of them is a reader that is gone (`SlowConsumer`).
"""

from collections import Counter, deque
from typing import Any

from msgspec import Struct, field

SIZE = 64


class SlowConsumer(Exception):
    """Nothing more can be kept for this reader."""


class Subscription(Struct, eq=False):
    id: str
    channel: str
    params: Any = None
    seq: int = 0
    through: int = 0  # the newest second (or event) that the client has or will get
    state: dict[str, Any] = field(default_factory=dict)  # as last sent
    paused: bool = False
    lost: bool = False  # a gap was said; the client must ask anew

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq


class Waiting(Struct, eq=False):
    kind: str  # answer | point | state
    subscription: Subscription | None
    message: dict[str, Any]


class Mailbox:
    def __init__(self, size: int = SIZE):
        self.size = size
        self.waiting: deque[Waiting] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def put(self, message: dict[str, Any], subscription: Subscription | None = None) -> None:
        """An event or an answer: never dropped."""
        self.make_room()
        self.waiting.append(Waiting("answer", subscription, message))

    def put_point(self, subscription: Subscription, message: dict[str, Any]) -> None:
        if subscription.lost:
            return
        seq = subscription.next_seq()
        self.make_room()
        if not subscription.lost:  # it may itself have given way
            self.waiting.append(
                Waiting("point", subscription, {"op": "delta", "id": subscription.id, "seq": seq, **message})
            )

    def put_state(self, subscription: Subscription, through: int, state: dict[str, Any]) -> None:
        for waiting in self.waiting:
            if waiting.kind == "state" and waiting.subscription is subscription:
                waiting.message = {"t": through, "s": state}
                return
        self.make_room()
        self.waiting.append(Waiting("state", subscription, {"t": through, "s": state}))

    def say_gap(self, subscription: Subscription, first: int, last: int) -> None:
        """The client missed these: it asks for a new snapshot under the same id."""
        subscription.lost = True
        self.put({"op": "gap", "id": subscription.id, "from": first, "to": last})

    def forget(self, subscription: Subscription) -> None:
        """The client no longer wants it."""
        self.waiting = deque(waiting for waiting in self.waiting if waiting.subscription is not subscription)

    def make_room(self) -> None:
        if len(self.waiting) < self.size:
            return
        points = Counter(id(w.subscription) for w in self.waiting if w.kind == "point")
        if not points:
            raise SlowConsumer(f"{len(self.waiting)} messages wait that must not be dropped.")
        most = points.most_common(1)[0][0]
        given = [w for w in self.waiting if w.kind == "point" and id(w.subscription) == most]
        self.dropped += len(given)
        self.waiting = deque(w for w in self.waiting if w not in given)
        subscription = given[0].subscription
        assert subscription is not None
        self.say_gap(subscription, given[0].message["seq"], subscription.seq)

    def take(self) -> dict[str, Any] | None:
        """The next message to send, or None. A state in which nothing changed still tells its time."""
        if not self.waiting:
            return None
        waiting = self.waiting.popleft()
        subscription = waiting.subscription
        if waiting.kind != "state" or subscription is None:
            return waiting.message
        changed = difference(subscription.state, waiting.message["s"])
        subscription.state = waiting.message["s"]
        return {
            "op": "delta", "id": subscription.id, "seq": subscription.next_seq(), "t": waiting.message["t"], **changed,
        }  # fmt: skip


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """{"s": what changed}, and "gone": the keys that are no more, where there are any."""
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    gone = [key for key in before if key not in after]
    return {"s": changed, "gone": gone} if gone else {"s": changed}
