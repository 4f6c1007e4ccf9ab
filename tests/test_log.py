"""A log line tells of the work; it never stops it."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from inference.log import configure_log, get_log
configure_log("test", FORMAT)
for number in range(1000):
    get_log().warning("disk_full", number=number, filler="x" * 100)
print("worked on")
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_log_on_a_full_disk_stops_nothing(log_format):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.replace("FORMAT", repr(log_format))], stdout=subprocess.PIPE, stderr=full
        )
    assert done.stdout == b"worked on\n"
