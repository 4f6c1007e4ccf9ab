"""What the controller remembers of its replicas between two looks. A successor learns it all anew."""

import signal
from dataclasses import dataclass, field

from inference.drivers.base import Gone, Running
from inference.policy.replicas import Failure, Replica, note_end
from inference.policy.wanted import Group
from inference.status import ReplicaState

EXIT_REASONS = {
    0: "It exited without being asked.",
    2: "It could not read its job.",
    3: "Its artifact is corrupt or unsafe.",
    4: "Its device was lost.",
}  # fmt: skip


@dataclass
class Roster:
    since_s: dict[str, float] = field(default_factory=dict)  # when each living one started, or was first seen
    groups: dict[str, Group] = field(default_factory=dict)
    ready_at_s: dict[str, float] = field(default_factory=dict)
    draining_at_s: dict[str, float] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)
    kill_reasons: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    last_words: dict[str, str] = field(default_factory=dict)  # the reason that a failing worker gave itself

    def begin(self, replica: str, group: Group, now_s: float, again: bool) -> None:
        self.since_s[replica] = now_s
        self.groups[replica] = group
        if again:
            self.restarts[replica] = self.restarts.get(replica, 0) + 1

    def see(self, running: Running, now_s: float) -> None:
        self.since_s.setdefault(running.replica, now_s)
        self.groups[running.replica] = running.model, running.version, running.digest, running.unit

    def note_state(self, replica: Replica, reason: str, now_s: float) -> bool:
        """Whether it became ready just now."""
        if replica.state is ReplicaState.FAILED and reason:
            self.last_words[replica.replica] = reason
        if replica.state is ReplicaState.DRAINING:
            self.draining_at_s.setdefault(replica.replica, now_s)  # it was told by somebody else, or adopted so
        if replica.state is not ReplicaState.READY or replica.replica in self.ready_at_s:
            return False
        self.ready_at_s[replica.replica] = now_s
        return True

    def note_gone(self, gone: Gone, now_s: float) -> Failure | None:
        """Cross it off; the failure if nobody asked it to go."""
        replica = gone.replica
        group = self.groups.get(replica)
        ready_at_s = self.ready_at_s.pop(replica, None)
        asked = replica in self.stopping or replica in self.draining_at_s
        killed = self.kill_reasons.pop(replica, "")
        said = self.last_words.pop(replica, "")
        self.since_s.pop(replica, None)
        self.draining_at_s.pop(replica, None)
        self.stopping.discard(replica)
        if group is None or (asked and not killed):
            self.forget(replica)
            return None
        reason = killed or said or describe_end(gone)
        ready_for_s = now_s - ready_at_s if ready_at_s is not None else None
        failure = note_end(self.failures.get(replica), replica, group, reason, ready_for_s, now_s)
        self.failures[replica] = failure
        return failure

    def forget(self, replica: str) -> None:
        for facts in (self.failures, self.restarts, self.groups, self.since_s, self.last_words):
            facts.pop(replica, None)


def describe_end(gone: Gone) -> str:
    if gone.exit_code in (-signal.SIGKILL, -signal.SIGTERM):
        return f"It was ended by {signal.Signals(-gone.exit_code).name}."  # its log knows nothing of that
    last_line = next((line for line in reversed(gone.log_tail.splitlines()) if line.strip()), "").strip()
    if gone.exit_code is None:
        what = "It was found dead."
    elif gone.exit_code < 0:
        what = f"It was ended by signal {-gone.exit_code}."
    else:
        what = EXIT_REASONS.get(gone.exit_code, f"It exited with code {gone.exit_code}.")
    return f"{what} Last line of its log: {last_line[:300]}" if last_line else what
