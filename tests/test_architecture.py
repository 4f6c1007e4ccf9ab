"""Promises about the shape of the code, checked on the code itself."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 300
# A file over 300 lines needs its reason here, and the reason has to be better than "it grew".
LONGER: dict[str, str] = {
    "inference/spec.py": "one contract read whole: every document that is wanted, and its Redis names",
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "misc"}
TOP_LEVEL = {
    "console", "inference", "templates", "static", "tests", "bench", "docs", "requirements", ".ci", "manage.py",
    "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "STYLE.md", "LICENSE", ".gitignore",
}  # fmt: skip


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_module_outgrows_one_concept():
    long = {name_of(path): len(path.read_text().splitlines()) for path in sources("console", "inference")}
    over = {name: lines for name, lines in long.items() if lines > MAX_LINES and name not in LONGER}
    assert not over, f"Split these, or give a reason in LONGER: {over}"


def test_reasons_for_length_are_still_needed():
    stale = [name for name in LONGER if len((ROOT / name).read_text().splitlines()) <= MAX_LINES]
    assert not stale


def test_names_say_what_is_inside():
    bad = [name_of(p) for p in sources("console", "inference") if p.stem in FORBIDDEN_NAMES or p.stem == "_private"]
    assert not bad


def test_top_level_is_the_one_that_readers_know():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split("/")[0] for line in listed.splitlines()} <= TOP_LEVEL


def test_no_wildcard_imports():
    starred = [
        name_of(path)
        for path in sources("console", "inference", "tests", "bench")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not starred


@pytest.mark.parametrize("folder", ["inference"])
def test_environment_is_read_in_one_place(folder: str):
    """`Config.from_env` and the lifeline read it; whoever sets variables for a child process may write it."""
    allowed = {"inference/config.py", "inference/lifeline.py"}
    readers = [
        name_of(path)
        for path in sources(folder)
        if re.search(r"os\.(getenv|environ\.get|environ\[[^]]+\](?!\s*=))", path.read_text())
    ]
    assert set(readers) <= allowed


def test_no_assert_guards_user_input():
    """`python -O` drops asserts; only None-narrowing of what was just made is allowed to look like one."""
    guards = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources("inference")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not guards


def test_no_pickle_near_a_socket():
    loads = [
        name_of(path)
        for path in sources("inference", "console")
        if re.search(r"^\s*(import|from)\s+(pickle|cloudpickle|dill|marshal|shelve)\b", path.read_text(), re.MULTILINE)
    ]
    assert not loads


def test_locks_bring_no_cuda():
    """NVML's binding (pure Python, 50 KB) is the one exception: it reads the driver and brings nothing."""
    for lock in (ROOT / "requirements").glob("*.txt"):
        names = re.findall(r"^([A-Za-z0-9_.-]+)==", lock.read_text(), re.MULTILINE)
        cuda = [name for name in names if name.startswith(("nvidia-", "cuda-")) and name != "nvidia-ml-py"]
        assert not cuda, f"{lock.name} pins {cuda}"
        assert lock.name == "torch.txt" or not {"torch", "triton"} & set(names)
    assert (ROOT / "requirements/torch.txt").read_text() == "torch==2.13.0\n"


@pytest.mark.parametrize(
    "module, absent",
    [
        ("inference.gateway.main", ("torch", "django", "transformers")),
        ("inference.controller.main", ("torch", "django", "transformers")),
        ("console.asgi", ("torch", "onnxruntime", "transformers", "plotly")),
    ],
)
def test_programs_load_only_what_they_need(module: str, absent: tuple[str, ...]):
    code = f"import sys, {module}; print(sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_ci_installs_what_it_needs_and_runs_what_developers_run():
    script = (ROOT / ".ci/run").read_text()
    assert "chromium" in script
    assert script.rstrip().endswith("make check\nmake test")
    assert "REQUIRE_BROWSER=1" in script
