"""A controller may die between any two of its writes; what it wrote may arrive late, or never; another may take over.

A document goes to the node's disk first and to Redis after. The search goes through every order of looking, writing,
dying, restarting here or elsewhere, and late arrival, from every state of the rollout, with everything that a look may
decide there. What a look decides is searched in `test_every_state`; here it is a table.
"""

from collections import deque
from collections.abc import Iterator

import pytest
from msgspec import Struct, structs
from support.rollouts import Broken, Graph, make_plan

from inference.policy.rollout.document import is_news
from inference.policy.rollout.facts import STOPPED
from inference.policy.rollout.machine import step_rollout
from inference.status import Effective

GRAPH = Graph(make_plan(10, 50, max_losses=0), step_rollout)


class Rules(Struct, frozen=True):
    """How documents are kept. Each rule is left out once below."""

    disk_counts: bool = True  # a restarted controller goes on from the newer of disk and Redis
    newest_wins: bool = True  # Redis refuses a document that is older than the one it holds
    lease_fences: bool = True  # and one of a fence below the lease's
    lease_first: bool = True  # a controller reads after it has the lease, not before


Document = tuple[int, int]  # rank, and number of the progress in GRAPH


class Node(Struct, frozen=True):
    """A controller at work: the document it goes by, its progress since, and what it is about to write."""

    current: Document
    progress: int
    pending: Document | None = None
    saved: bool = False  # the pending one is on disk, not yet in Redis
    spoke: bool = False  # it wrote under its own fence


class World(Struct, frozen=True):
    redis: Document
    disk: Document
    node: Node | None = None
    leased: bool = False  # a controller has the lease and has read nothing yet
    late: Document | None = None  # on its way to Redis, from one who died, and not to be refused there
    fenced: bool = False  # the lease has been taken since

    def ordered(self) -> "World":
        """The same with ranks 0, 1, 2 …"""
        node = self.node
        held = [self.redis, self.disk, self.late, *((node.current, node.pending) if node else ())]
        places = {rank: place for place, rank in enumerate(sorted({one[0] for one in held if one}))}

        def put(one: Document | None) -> Document | None:
            return (places[one[0]], one[1]) if one else None

        if node is not None:
            node = Node(put(node.current), node.progress, put(node.pending), node.saved, node.spoke)
        return World(put(self.redis), put(self.disk), node, self.leased, put(self.late), self.fenced)


def go_on(world: World, rules: Rules) -> Iterator[tuple[World, bool]]:
    """Every next world, and whether it moved to another machine."""
    redis, disk, node, _, late, fenced = (getattr(world, name) for name in World.__struct_fields__)
    if late is not None:
        yield World(late, disk, node, world.leased, None, fenced), False
    if node is None:
        if world.leased or not rules.lease_first:
            fenced = fenced or rules.lease_first
            here = redis if not rules.disk_counts or redis[0] > disk[0] else disk
            yield World(redis, disk, Node(here, here[1]), False, late, fenced), False
            yield World(redis, redis, Node(redis, redis[1]), False, late, fenced), True
        else:
            yield World(redis, disk, None, True, late, True), False
            # While Redis is away, a controller restarts here from what its disk holds.
            yield World(redis, disk, Node(disk, disk[1]), False, late, fenced), False
        return
    # It dies. What it had saved may be on its way.
    yield World(redis, disk, None, False, node.pending if node.saved else late, fenced and not node.saved), False
    if node.pending is None:
        top = max(one[0] for one in (redis, disk, node.current, late or redis)) + 1
        for there in GRAPH.after[node.progress]:
            if node.spoke and not differs(node.current[1], there):
                yield World(redis, disk, Node(node.current, there, spoke=True), False, late, fenced), False
            else:
                yield World(redis, disk, Node(node.current, there, (top, there)), False, late, fenced), False
    elif not node.saved:
        saved = Node(node.pending, node.progress, node.pending, saved=True, spoke=True)
        yield World(redis, node.pending, saved, False, late, fenced), False
    else:
        done = Node(node.current, node.progress, spoke=True)
        yield World(node.pending, disk, done, False, late, fenced), False
        yield World(redis, disk, done, False, late, fenced), False  # Redis is away; the next one is sent instead


def drop_refused(world: World, rules: Rules) -> World:
    """Redis will refuse what is late: it need not be waited for."""
    if world.late is None:
        return world
    refused = (world.fenced and rules.lease_fences) or (rules.newest_wins and world.late[0] < world.redis[0])
    return structs.replace(world, late=None) if refused else world


def differs(one: int, other: int) -> bool:
    return is_news(as_document(one), as_document(other))


def as_document(number: int) -> Effective:
    return Effective(name="m", epoch="e", generation=1, fence=1, progress=GRAPH.states[number])


def is_stopped(document: Document) -> bool:
    return GRAPH.states[document[1]].phase in STOPPED


def search(rules: Rules) -> int:
    """How many worlds there are. Raises Broken where a stopped rollout goes on, or Redis goes back."""
    start = World((0, 0), (0, 0))
    seen, waiting = {start}, deque([start])
    while waiting:
        world = waiting.popleft()
        for there, moved in go_on(world, rules):
            if is_stopped(world.redis) and not is_stopped(there.redis):
                raise Broken(f"Redis held a stopped rollout and holds one that goes on: {world} → {there}")
            if is_stopped(world.disk) and not is_stopped(there.disk) and not moved:
                raise Broken(f"This machine stopped a rollout and goes on with it: {world} → {there}")
            if (there := drop_refused(there, rules).ordered()) not in seen:
                seen.add(there)
                waiting.append(there)
    return len(seen)


def test_whoever_dies_when_stopped_stays_stopped() -> None:
    assert search(Rules()) > 1_000


@pytest.mark.parametrize("rule", Rules.__struct_fields__)
def test_no_rule_of_keeping_documents_can_be_left_out(rule: str) -> None:
    with pytest.raises(Broken):
        search(Rules(**{rule: False}))
