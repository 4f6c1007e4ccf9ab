"""Memory freed by one batch serves the next, without a detour through the kernel; new objects lie together."""

import ctypes
import subprocess
import sys

import pytest

from inference.heap import fill_gaps

FAULTS = """
import resource, sys
from inference.heap import keep_freed_memory
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def batch():
    parts = [np.ones(2_000_000, np.uint8) for _ in range(16)]  # 32 MB, freed at the end

if sys.argv[1] == "kept" and not keep_freed_memory(64 << 20):
    sys.exit(3)
for _ in range(3):
    batch()
start = faults()
for _ in range(10):
    batch()
print((faults() - start) // 10)
"""


def faults_a_batch(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library's malloc takes no such wish")
def test_a_batch_takes_the_memory_that_the_last_one_freed() -> None:
    assert faults_a_batch("kept") < 100 < faults_a_batch("not")  # pages; 32 MB are 8,192 of them


GAPS = """
from inference.heap import fill_gaps

def pages_of_new_objects():
    return len({id(made) >> 14 for made in [bytes(31) for _ in range(1000)]})

held = [bytes(31) for _ in range(400_000)]
for index in range(0, len(held), 200):
    held[index] = None
scattered = pages_of_new_objects()
filler = fill_gaps()
print(scattered, pages_of_new_objects())
"""


def test_objects_made_after_gaps_were_filled_lie_together() -> None:
    told = subprocess.run([sys.executable, "-c", GAPS], capture_output=True, check=True, text=True).stdout
    scattered, together = map(int, told.split())
    assert together < 20 < 200 < scattered


def test_a_filler_is_small() -> None:
    assert sum(map(sys.getsizeof, fill_gaps())) < 5_000_000
