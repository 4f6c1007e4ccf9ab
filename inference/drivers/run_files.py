"""`<data>/run/<replica>.json`: how a controller that starts later finds the workers that live, and trusts their pid."""

import contextlib
import os
import signal
from pathlib import Path

import msgspec

from inference.drivers.base import Running
from inference.log import get_log

log = get_log()


class RunFile(Running, frozen=True):
    """`start_ticks` is the kernel's start time of the process: a pid that was given to another has a different one."""

    start_ticks: int


def process_state(pid: int) -> tuple[str, int]:
    """(state letter, clock ticks after boot at which it started). Raises OSError when there is no such process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name before ) may hold anything
    return fields[0], int(fields[19])


def start_ticks(pid: int) -> int:
    """Clock ticks after boot at which the process started. Raises OSError when there is no such process."""
    return process_state(pid)[1]


def is_alive(file: RunFile) -> bool:
    """Whether that very process lives. A zombie does not: where init reaps nobody, it would seem to live for ever."""
    try:
        state, ticks = process_state(file.pid)
    except (OSError, ValueError, IndexError):
        return False
    return ticks == file.start_ticks and state not in "ZX"


def read_run_files(folder: Path) -> list[RunFile]:
    """What every worker wrote, of the living and the dead. Files that cannot be read are removed: they say nothing."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            file = msgspec.json.decode(path.read_bytes(), type=RunFile)
        except FileNotFoundError:
            continue  # its worker just ended
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("run_file_removed", path=str(path), error=str(error))
            path.unlink(missing_ok=True)
            continue
        if file.replica == path.stem:
            found.append(file)
    return found


def remove_run_file(folder: Path, replica: str, address: str) -> None:
    """Clear up after a dead worker. Only before its replica is started again, or the new one's files would go."""
    (folder / f"{replica}.json").unlink(missing_ok=True)
    if address.startswith("unix:"):
        with contextlib.suppress(OSError):
            Path(address.removeprefix("unix:")).unlink()


def send_signal(file: RunFile, number: signal.Signals) -> None:
    """Signal that very process, never one that got its pid since. A dead one is no error."""
    try:
        fd = os.pidfd_open(file.pid)
    except OSError:
        return
    try:
        if is_alive(file):
            signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)
