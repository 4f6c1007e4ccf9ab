"""Single replicas: what is known of a living one, when it counts as hung, and when one that ended is tried again."""

from msgspec import Struct

from inference.policy.wanted import Group
from inference.status import ReplicaState

SILENT_START_S = 60.0  # Python and its imports, on a busy machine
SILENT_LOAD_S = 30.0  # a loading worker beats from a helper thread
SILENT_WORK_S = 30.0  # a working one does not beat during a batch; see is_hung
LOAD_S = 900.0
STEADY_S = 30.0  # ready for so long: earlier crashes are forgiven
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0

LOADING = (ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.WARMING)


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
