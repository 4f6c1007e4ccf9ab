"""What docs/versions.md tells is so."""

import re
from pathlib import Path

from console.registry.containers import LIMITS
from console.registry.services.uploads import IDLE, MAX_CHUNK_BYTES
from console.registry.services.validation import INSPECT_LIMITS
from console.registry.version_file import VersionFile, complete
from inference import spec

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "versions.md").read_text()


def test_its_version_file_is_a_valid_one() -> None:
    (text,) = re.findall(r"```json\n(.+?)```", GUIDE, re.DOTALL)
    plan = complete(spec.decode(text, VersionFile), None)
    assert [unit.name for unit in plan.units] == ["pictures", "model"]


def test_its_limits_are_those_of_the_code() -> None:
    assert f"| chunk | {MAX_CHUNK_BYTES // 1024**2} MiB |" in GUIDE
    assert f"| files in an archive | {LIMITS.max_files:,} |" in GUIDE
    assert f"| unpacked | {LIMITS.max_bytes // 1024**3} GiB, at most {LIMITS.max_ratio:g} times" in GUIDE
    assert f"at most {LIMITS.max_path} bytes" in GUIDE
    assert f"own process, {INSPECT_LIMITS.wall_s:g} s, {INSPECT_LIMITS.data_bytes // 1024**3} GiB" in GUIDE
    assert f"forgotten after {IDLE.total_seconds() / 3600:g} h" in GUIDE
