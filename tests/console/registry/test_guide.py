"""What docs/versions.md tells is so."""

import re
from pathlib import Path

import pytest

from console.registry.containers import LIMITS
from console.registry.services.uploads import IDLE, MAX_CHUNK_BYTES
from console.registry.services.validation import INSPECT_LIMITS
from console.registry.version_file import BadVersionFile, VersionFile, complete
from inference import spec
from inference.policy.acceleration import Acceleration, read_acceleration

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "versions.md").read_text()


WHOLE, STAGE = re.findall(r"```json\n(.+?)```", GUIDE, re.DOTALL)


def test_its_version_file_is_a_valid_one() -> None:
    plan = complete(spec.decode(WHOLE, VersionFile), None)
    assert [unit.name for unit in plan.units] == ["pictures", "model"]


def test_its_faster_stage_is_a_valid_one_and_its_settings_are_all_there_are() -> None:
    stage = spec.decode(STAGE, spec.Stage)
    assert read_acceleration(stage, spec.Format.PT2, 32).batch_sizes == (1, 2, 4, 8, 16, 32)
    told = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert told == list(Acceleration.__struct_fields__)


def test_a_config_that_no_model_takes_is_refused_with_the_file() -> None:
    file = WHOLE.replace('"kind": "infer",', '"kind": "infer", "config": {"autocats": "bf16"},')
    with pytest.raises(BadVersionFile, match="autocats"):
        complete(spec.decode(file, VersionFile), None)


def test_its_limits_are_those_of_the_code() -> None:
    assert f"| chunk | {MAX_CHUNK_BYTES // 1024**2} MiB |" in GUIDE
    assert f"| files in an archive | {LIMITS.max_files:,} |" in GUIDE
    assert f"| unpacked | {LIMITS.max_bytes // 1024**3} GiB, at most {LIMITS.max_ratio:g} times" in GUIDE
    assert f"at most {LIMITS.max_path} bytes" in GUIDE
    assert f"own process, {INSPECT_LIMITS.wall_s:g} s, {INSPECT_LIMITS.data_bytes // 1024**3} GiB" in GUIDE
    assert f"forgotten after {IDLE.total_seconds() / 3600:g} h" in GUIDE
