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
from inference.spec import ModelSpec, PoolSpec, Unit, Version
from inference.status import Effective, ReplicaState

DRAIN_NOTICE_S = 0.5  # from the day a replica is published as draining to its stop: gateways look elsewhere meanwhile
SILENT_START_S = 60.0  # Python and its imports, on a busy machine
SILENT_LOAD_S = 30.0  # a loading worker beats from a helper thread
SILENT_WORK_S = 30.0  # a working one does not beat during a batch; see is_hung
LOAD_S = 900.0
SLOW_LOAD_S = 30.0  # a load that takes longer no longer holds others up
STEADY_S = 30.0  # ready for so long: earlier crashes are forgiven
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0

LOADING = (ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.WARMING)

Group = tuple[str, int, str, str]  # model, version, digest, unit


class Wanted(Struct, frozen=True):
    """One unit of a live version. `serving`: it has traffic, or shall have."""

    model: str
    version: Version
    unit: Unit
    replicas: int
    serving: bool

    @property
    def group(self) -> Group:
        return self.model, self.version.number, self.version.digest, self.unit.name


class Replica(Struct, frozen=True):
    """A living worker as observed. Times are of one clock."""

    replica: str
    model: str
    version: int
    digest: str
    unit: str
    device: str
    state: ReplicaState
    started_at_s: float
    beat_at_s: float
    draining_at_s: float | None = None  # since when the endpoints say so
    stopping: bool = False  # asked to exit

    @property
    def group(self) -> Group:
        return self.model, self.version, self.digest, self.unit


class Failure(Struct, frozen=True):
    """A replica that ended without being asked, and waits for its next start."""

    replica: str
    group: Group
    count: int
    reason: str
    retry_at_s: float


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


class Shortage(Struct, frozen=True):
    """Something wanted that cannot be had here, and why."""

    model: str
    version: int
    unit: str
    reason: str


class Decision(Struct, frozen=True):
    actions: tuple[Action, ...] = ()
    shortages: tuple[Shortage, ...] = ()


def list_wanted(models: Iterable[ModelSpec], effective: Mapping[str, Effective], pool: str) -> list[Wanted]:
    """All units of all live versions of the pool, in the order in which they are to start."""
    wanted = []
    for model in models:
        if model.pool != pool or model.deleted:
            continue
        in_force = effective[model.name].weights if model.name in effective else ()
        weighted = {weight.version for weight in (*model.traffic.weights, *in_force) if weight.percent > 0}
        for version in model.versions:
            serving = version.number in weighted
            for unit in version.units:
                least = max(unit.scale.min_replicas, 1 if serving else 0)
                replicas = min(least, unit.scale.max_replicas)
                wanted.append(Wanted(model.name, version, unit, replicas, serving))
    wanted.sort(key=lambda one: (not one.serving, len(one.version.units), one.model, -one.version.number))
    return wanted


def list_in_force(effective: Iterable[Effective]) -> set[tuple[str, int]]:
    return {(one.name, weight.version) for one in effective for weight in one.weights if weight.percent > 0}


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


def fit(wanted: Sequence[Wanted], pool: PoolSpec) -> tuple[dict[Group, int], list[Shortage]]:
    """How many replicas of each unit the pool has room for. First one of each unit of a version, or none of that
    version: a part of a chain answers nothing. Then the further replicas."""
    targets = {one.group: 0 for one in wanted}
    shortages: list[Shortage] = []
    room = pool.max_workers
    chains: dict[tuple[str, int], list[Wanted]] = {}
    for one in wanted:
        chains.setdefault((one.model, one.version.number), []).append(one)
    for (model, version), units in chains.items():
        needed = [one for one in units if one.replicas > 0]
        stuck = next((one for one in needed if choose_device(one.unit, pool, ()) is None), None)
        if stuck is not None:
            reason = f"It needs a {stuck.unit.device.value} device; pool {pool.name!r} has {', '.join(pool.devices)}."
            shortages.append(Shortage(model, version, stuck.unit.name, reason))
        elif len(needed) > room:
            reason = (
                f"No room: it needs {len(needed)} workers; of the {pool.max_workers} of pool {pool.name!r}, "
                f"{room} are free. Raise max_workers or unload a version."
            )
            shortages.append(Shortage(model, version, needed[0].unit.name, reason))
        else:
            room -= len(needed)
            targets.update((one.group, 1) for one in needed)
    for one in wanted:
        if targets[one.group] and one.replicas > 1:
            more = min(one.replicas - 1, room)
            room -= more
            targets[one.group] += more
            if more < one.replicas - 1:
                reason = f"Room for {1 + more} of {one.replicas} replicas. Raise max_workers or unload a version."
                shortages.append(Shortage(one.model, one.version.number, one.unit.name, reason))
    return targets, shortages


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


def is_hung(replica: Replica, timeout_s: float, now_s: float) -> str:
    """Why a living worker is given up, or ''.

    A working one is silent for as long as a batch runs. Longer than the longest a request may wait, and nobody is
    there to take the answer.
    """
    silent_s = now_s - replica.beat_at_s
    if replica.state is ReplicaState.STARTING:
        limit_s = SILENT_START_S
    elif replica.state in LOADING:
        if now_s - replica.started_at_s > LOAD_S:
            return f"It was still loading after {LOAD_S:.0f} s."
        limit_s = SILENT_LOAD_S
    else:
        limit_s = max(SILENT_WORK_S, timeout_s + 5.0)
    return f"It gave no sign of life for {silent_s:.0f} s while {replica.state.value}." if silent_s > limit_s else ""


def note_end(
    earlier: Failure | None, replica: str, group: Group, reason: str, ready_for_s: float | None, now_s: float
) -> Failure:
    """Remember an end that nobody asked for, and when to try again. `ready_for_s`: None if it never was ready."""
    steady = ready_for_s is not None and ready_for_s >= STEADY_S
    count = 1 if earlier is None or steady else earlier.count + 1
    at_once = count == 1 and ready_for_s is not None
    pause_s = 0.0 if at_once else min(FIRST_PAUSE_S * 2 ** min(count - 1, 16), LONGEST_PAUSE_S)
    return Failure(replica, group, count, reason, now_s + pause_s)
