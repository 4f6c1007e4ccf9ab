"""Where a replica goes: which device, and how many threads; and who gets how many where there is no room for all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import inf

from msgspec import Struct

from inference.spec import DeviceKind, PoolSpec, StageKind, Unit, Version


def choose_device(unit: Unit, pool: PoolSpec, taken: Iterable[str]) -> str | None:
    """The least taken device that the unit may run on, in the pool's order; None when the pool has none.

    A unit that may run anywhere prefers a GPU where the pool has one.
    """
    gpus = [device for device in pool.devices if device.startswith("cuda")]
    allowed = {
        DeviceKind.CPU: [device for device in pool.devices if device == "cpu"],
        DeviceKind.CUDA: gpus,
        DeviceKind.ANY: gpus or list(pool.devices),
    }[unit.device]
    counts = list(taken)
    return min(allowed, key=counts.count, default=None)


def choose_threads(version: Version, unit: Unit, device: str, cores: int, cpu_replicas: int) -> int:
    """What the unit says; else the cores shared fairly among the `cpu_replicas` that compute on them.

    A unit that only prepares or finishes, and one whose model runs on a GPU, needs one.
    """
    if unit.threads:
        return unit.threads
    if device != "cpu" or not computes(version, unit):
        return 1
    return max(1, cores // max(1, cpu_replicas))


def computes(version: Version, unit: Unit) -> bool:
    return any(stage.kind is StageKind.INFER and stage.name in unit.stages for stage in version.stages)


class Room(Struct, frozen=True):
    """A device as placement sees it. Bytes are of its memory: a GPU's own, or the node's for `cpu`."""

    node: str
    device: str
    total_bytes: int | None = None  # None: not measured; then only counts decide
    free_bytes: int | None = None
    replicas: int = 0  # of everything
    mine: int = 0  # of the unit that is placed


class Placement(Struct, frozen=True):
    """Where the next replicas go, in order, and why the others found no place ('' where all did)."""

    places: tuple[tuple[str, str], ...]  # node, device
    reason: str = ""


def place_replicas(count: int, need_bytes: int, rooms: Sequence[Room]) -> Placement:
    """Find places for `count` more replicas of one unit, each of which takes `need_bytes`.

    First apart, so that a node or device that dies takes as few of them as can be; then where they leave the least
    memory over, so that large holes stay for large models; then where least runs. Devices whose memory is known and too
    small are out. A need or a reading below zero counts as unknown.
    """
    rooms = list(rooms)
    places: list[tuple[str, str]] = []
    for _ in range(count):
        nodes = Counter[str]()
        for room in rooms:
            nodes[room.node] += room.mine
        fitting = [place for place, room in enumerate(rooms) if has_space(room, need_bytes)]
        if not fitting:
            return Placement(tuple(places), say_shortage(count - len(places), need_bytes, rooms))
        best = min(fitting, key=lambda place: rank(rooms[place], nodes[rooms[place].node], need_bytes))
        room = rooms[best]
        free = None if room.free_bytes is None else room.free_bytes - max(0, need_bytes)
        rooms[best] = Room(room.node, room.device, room.total_bytes, free, room.replicas + 1, room.mine + 1)
        places.append((room.node, room.device))
    return Placement(tuple(places))


def has_space(room: Room, need_bytes: int) -> bool:
    return room.free_bytes is None or room.free_bytes < 0 or room.free_bytes >= need_bytes


def rank(room: Room, on_node: int, need_bytes: int) -> tuple[int, int, int, int, str, str]:
    left = room.free_bytes - need_bytes if room.free_bytes is not None and room.free_bytes >= 0 else 0
    return on_node, room.mine, left, room.replicas, room.node, room.device


def say_shortage(missing: int, need_bytes: int, rooms: Sequence[Room]) -> str:
    if not rooms:
        return "The pool has no device that the unit may run on."
    most = max((room.free_bytes for room in rooms if room.free_bytes is not None), default=0)
    return (
        f"No device has room for {missing} more: each takes {need_bytes / 2**30:.2f} GiB, the most that is free on one "
        f"is {most / 2**30:.2f} GiB. Unload a version, or add a device."
    )


def choose_removals(count: int, rooms: Sequence[Room]) -> list[tuple[str, str]]:
    """Where `count` replicas of the unit should go from: the node, then the device, that holds most of them."""
    left = {(room.node, room.device): room for room in rooms if room.mine > 0}
    mine = {place: room.mine for place, room in left.items()}
    removed: list[tuple[str, str]] = []
    for _ in range(min(count, sum(mine.values()))):
        nodes = Counter[str]()
        for (node, _device), held in mine.items():
            nodes[node] += held
        best = max(
            (place for place, held in mine.items() if held),
            key=lambda place: (nodes[place[0]], mine[place], left[place].replicas, place),
        )
        mine[best] -= 1
        removed.append(best)
    return removed


class Ask(Struct, frozen=True):
    """What one unit should have, and the least it must have to answer at all."""

    name: str
    wanted: int
    least: int = 1
    weight: float = 1.0  # how much a missing part of its wish counts against that of others


def share_room(asks: Sequence[Ask], room: int) -> dict[str, int]:
    """Divide `room` replicas where all wishes together are more.

    First each gets its least, in the order given, as far as it goes. Then one at a time to whoever has the least part
    of its wish for its weight, so that none starves and shortage is felt alike. Wishes that fit are granted whole. A
    weight that is not positive and finite counts as 1, a wish below its least as its least, room below 0 as none.
    """
    given: dict[str, int] = {}
    room = max(0, room)
    for ask in asks:
        given[ask.name] = min(max(0, ask.least), room)
        room -= given[ask.name]
    queue = [
        (share_of(ask, given[ask.name]), place, ask)
        for place, ask in enumerate(asks)
        if given[ask.name] == max(0, ask.least) < ask.wanted
    ]
    heapify(queue)
    while queue and room:
        _, place, ask = heappop(queue)
        given[ask.name] += 1
        room -= 1
        if given[ask.name] < ask.wanted:
            heappush(queue, (share_of(ask, given[ask.name]), place, ask))
    return given


def share_of(ask: Ask, given: int) -> float:
    weight = ask.weight if 0.0 < ask.weight < inf else 1.0
    return given / ask.wanted / weight
