"""`<data>/run/<replica>.json`: how a controller that starts later finds the workers that live, and trusts their pid."""

import contextlib
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


def read_run_files(folder: Path) -> dict[str, RunFile]:
    """Living workers by replica. Files of dead ones, and files that cannot be read, are removed."""
    living = {}
    for path in sorted(folder.glob("*.json")):
        try:
            file = msgspec.json.decode(path.read_bytes(), type=RunFile)
        except FileNotFoundError:
            continue  # its worker just ended
        except (OSError, msgspec.DecodeError) as error:
            log.warning("run_file_removed", path=str(path), error=str(error))
            path.unlink(missing_ok=True)
            continue
        if file.replica == path.stem and is_alive(file):
            living[file.replica] = file
            continue
        path.unlink(missing_ok=True)
        if file.address.startswith("unix:"):
            with contextlib.suppress(OSError):
                Path(file.address.removeprefix("unix:")).unlink()
    return living
