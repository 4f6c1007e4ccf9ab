"""What to start and stop so that the pool becomes what the documents want.

Facts in, small frozen actions out; the controller's loop does them. The rules, in order of weight:

1. A replica that serves is not taken away before its successor is ready: a version in force is left alone.
2. A crashed replica starts again at once, one that keeps crashing ever later, and says when.
3. Versions with traffic come first, those of the fewest processes before others, so that most models answer soonest.
4. The pool's bound on workers holds. What finds no room is said. Only for the time of a replacement may the successors
   of serving replicas stand beside them.
5. Few load at once: loading fights for the same cores and disk.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from inference.policy.placement import choose_device, choose_threads, computes
from inference.policy.replicas import LOADING, Failure, Replica, is_hung
from inference.policy.wanted import Group, Shortage, Wanted, fit
from inference.spec import PoolSpec
from inference.status import ReplicaState

DRAIN_NOTICE_S = 0.5  # from being published as draining to the stop: gateways look elsewhere meanwhile
SLOW_LOAD_S = 30.0  # a load that takes longer no longer holds others up


class Start(Struct, frozen=True):
    wanted: Wanted
    device: str
    threads: int
    replica: str = ""  # of the crashed one that comes back under its name; empty: a new one


class Drain(Struct, frozen=True):
    """Publish as draining: gateways send it no more."""

    replica: str
    reason: str


class Stop(Struct, frozen=True):
    replica: str
    reason: str


class Kill(Struct, frozen=True):
    replica: str
    reason: str


class Forget(Struct, frozen=True):
    """A failed replica that nobody wants any more."""

    replica: str


Action = Start | Drain | Stop | Kill | Forget


class Decision(Struct, frozen=True):
    actions: tuple[Action, ...] = ()
    shortages: tuple[Shortage, ...] = ()


def reconcile(
    wanted: Sequence[Wanted],
    pool: PoolSpec,
    replicas: Sequence[Replica],
    failures: Collection[Failure],
    in_force: Collection[tuple[str, int]],
    known: Collection[str],
    cores: int,
    now_s: float,
) -> Decision:
    """Decide. `known` are the models, deleted ones too, of which there is news: workers of others are left alone."""
    targets, shortages = fit(wanted, pool)
    timeouts = {one.group: one.unit.queue.timeout_s for one in wanted}
    kills = [
        Kill(replica.replica, reason)
        for replica in replicas
        if not replica.stopping and (reason := is_hung(replica, timeouts.get(replica.group, 0.0), now_s))
    ]
    killed = {kill.replica for kill in kills}
    # A killed one keeps its place until its end is seen: it comes back under its name, and its device is free by then.
    usable = [one for one in replicas if one.draining_at_s is None and not one.stopping]
    kept, surplus = split(targets, usable)
    surplus = [one for one in surplus if one.model in known]
    safe = list_answering(wanted, kept)
    protected = [
        one for one in surplus if (one.model, one.version) in in_force and (one.model, one.version) not in safe
    ]

    living = {one.replica for one in replicas}
    resting = [failure for failure in failures if failure.replica not in living]
    starts = list_starts(wanted, targets, kept, resting, pool, replicas, len(protected), cores, now_s)
    wanted_names = {
        name for group in {one.group for one in resting} for name in names_of(group, targets, kept, resting)
    }
    forgotten = [Forget(one.replica) for one in resting if one.replica not in wanted_names and one.group[0] in known]
    removals = [
        *list_removals(one for one in surplus if one not in protected and one.replica not in killed),
        *(
            Stop(one.replica, "drained")
            for one in replicas
            if one.draining_at_s is not None and not one.stopping and now_s - one.draining_at_s >= DRAIN_NOTICE_S
        ),
    ]
    return Decision((*kills, *starts, *removals, *forgotten), tuple(shortages))


def split(targets: Mapping[Group, int], usable: Iterable[Replica]) -> tuple[dict[Group, list[Replica]], list[Replica]]:
    """Those to keep, by group, and the others. Ready ones are kept before others, older before younger."""
    kept: dict[Group, list[Replica]] = {}
    surplus = []
    for one in sorted(usable, key=lambda one: (one.state is not ReplicaState.READY, one.started_at_s, one.replica)):
        members = kept.get(one.group, [])
        if len(members) < targets.get(one.group, 0):
            kept.setdefault(one.group, members).append(one)
        else:
            surplus.append(one)
    return kept, surplus


def list_answering(wanted: Iterable[Wanted], kept: Mapping[Group, list[Replica]]) -> set[tuple[str, int]]:
    """Versions that can answer from what is kept: each of their units has a ready replica."""
    answering: dict[tuple[str, int], bool] = {}
    for one in wanted:
        version = one.model, one.version.number
        ready = any(replica.state is ReplicaState.READY for replica in kept.get(one.group, ()))
        answering[version] = ready and answering.get(version, True)
    return {version for version, answers in answering.items() if answers}


def list_starts(
    wanted: Sequence[Wanted],
    targets: Mapping[Group, int],
    kept: Mapping[Group, list[Replica]],
    resting: Sequence[Failure],
    pool: PoolSpec,
    replicas: Sequence[Replica],
    replaced: int,
    cores: int,
    now_s: float,
) -> list[Start]:
    starts: list[Start] = []
    taken = [one.device for one in replicas]
    loading = sum(one.state in LOADING and now_s - one.started_at_s < SLOW_LOAD_S for one in replicas)
    may_load = max(1, cores // 2)
    computing = sum(targets[one.group] for one in wanted if one.serving and computes(one.version, one.unit))
    for one in wanted:
        missing = targets[one.group] - len(kept.get(one.group, ()))
        if missing <= 0:
            continue
        resters = sorted((rest for rest in resting if rest.group == one.group), key=lambda rest: rest.retry_at_s)
        # Successors of serving replicas may stand beside them until they take over.
        bound = pool.max_workers + (replaced if one.serving else 0)
        for place in range(missing):
            back = resters[place] if place < len(resters) else None
            if back is not None and back.retry_at_s > now_s:
                continue
            if len(replicas) + len(starts) >= bound or (back is None and loading >= may_load):
                break
            device = choose_device(one.unit, pool, taken)
            if device is None:
                break
            threads = choose_threads(one.version, one.unit, device, cores, computing)
            starts.append(Start(one, device, threads, back.replica if back is not None else ""))
            taken.append(device)
            loading += 1
    return starts


def names_of(
    group: Group, targets: Mapping[Group, int], kept: Mapping[Group, list[Replica]], resting: Sequence[Failure]
) -> list[str]:
    """The failed replicas whose places are still wanted."""
    missing = targets.get(group, 0) - len(kept.get(group, ()))
    members = sorted((rest for rest in resting if rest.group == group), key=lambda rest: rest.retry_at_s)
    return [rest.replica for rest in members[: max(missing, 0)]]


def list_removals(surplus: Iterable[Replica]) -> list[Drain | Stop]:
    """Ready ones drain first; the others never had work."""
    return [
        Drain(one.replica, "no longer wanted")
        if one.state is ReplicaState.READY
        else Stop(one.replica, "no longer wanted")
        for one in surplus
    ]
