"""Runs in the peers' environment: FILE of int64 keys, capacity, then library:name … Prints hits of each as JSON."""

import json
import sys
from array import array
from pathlib import Path


def hits_of_libcachesim(name: str, keys: array, capacity: int) -> int:
    import libcachesim

    if name == "Belady":
        return hits_of_belady(keys, capacity)
    cache, request = getattr(libcachesim, name)(capacity), libcachesim.Request()
    request.obj_size = 1
    # The simulator's table drops requests for an object 0 and reads negative ones as huge: ids by first appearance.
    ids: dict[int, int] = {}
    hits = 0
    for key in keys:
        request.obj_id = ids.setdefault(key, len(ids) + 1)
        hits += bool(cache.get(request))
    return hits


def hits_of_belady(keys: array, capacity: int) -> int:
    """The offline optimum; ours, for the library's needs an annotated trace file."""
    from heapq import heappop, heappush

    never = len(keys)
    following = [never] * len(keys)
    last: dict[int, int] = {}
    for place in range(len(keys) - 1, -1, -1):
        following[place] = last.get(keys[place], never)
        last[keys[place]] = place
    resident: dict[int, int] = {}
    farthest: list[tuple[int, int]] = []
    hits = 0
    for place, key in enumerate(keys):
        if key in resident:
            hits += 1
        elif len(resident) >= capacity:
            while True:
                when, victim = heappop(farthest)
                if resident.get(victim) == -when:
                    del resident[victim]
                    break
        resident[key] = following[place]
        heappush(farthest, (-following[place], key))
    return hits


def hits_of_theine(_name: str, keys: array, capacity: int) -> int:
    from theine import Cache

    cache = Cache(capacity)
    hits = 0
    for key in keys:
        if cache.get(key)[1]:
            hits += 1
        else:
            cache.set(key, 1)
    return hits


def main() -> None:
    path, capacity, *names = sys.argv[1:]
    keys = array("q", Path(path).read_bytes())
    replay = {"libcachesim": hits_of_libcachesim, "theine": hits_of_theine}
    found = {}
    for full in names:
        library, name = full.split(":")
        found[full] = replay[library](name, keys, int(capacity))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
