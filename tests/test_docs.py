"""The documentation says what the code says: every setting, flag, metric, error code, command and link."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from inference import __main__ as programs
from inference import errors
from inference.config import Config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "STYLE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("item", fields(Config), ids=lambda item: item.name)
def test_each_setting_of_the_data_plane_is_documented(item):
    row = f"| `{item.metadata['variable']}` | `{item.default}` | {item.metadata['help']} |"
    assert row in page("configuration.md")


def test_each_setting_of_the_console_is_documented():
    source = (ROOT / "console/settings.py").read_text()
    names = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source))
    assert names
    assert not {name for name in names if f"`{name}`" not in page("configuration.md")}


def test_no_setting_is_documented_that_does_not_exist():
    known = {item.metadata["variable"] for item in fields(Config)}
    sources = [*(ROOT / "console").rglob("*.py"), *(ROOT / "inference").rglob("*.py")]
    text = "".join(path.read_text() for path in sources)
    listed = set(re.findall(r"`((?:SWITCHYARD_[A-Z_]+|REDIS_URL|DATABASE_URL))`", page("configuration.md")))
    assert not {name for name in listed - known if f'"{name}"' not in text}


def test_each_error_code_is_documented():
    def codes(kind: type[errors.SwitchyardError]) -> set[str]:
        return {kind.code}.union(*(codes(sub) for sub in kind.__subclasses__()))

    missing = {code for code in codes(errors.SwitchyardError) if f"`{code}`" not in page("http-api.md")}
    assert not missing


def test_each_program_is_documented():
    assert not [name for name in programs.PROGRAMS if f"python -m inference {name}" not in page("configuration.md")]


def test_each_command_of_ours_is_documented():
    ours = [name for name, app in get_commands().items() if str(app).startswith("console.")]
    assert ours
    assert not [name for name in ours if f"manage.py {name}" not in page("configuration.md")]


def test_each_flag_of_up_is_documented():
    parser = load_command_class("console.supervisor", "up").create_parser("manage.py", "up")
    standard = load_command_class("django.core", "check").create_parser("manage.py", "check")
    theirs = {option for action in standard._actions for option in action.option_strings}
    flags = [option for action in parser._actions for option in action.option_strings if option not in theirs]
    assert flags
    assert not [flag for flag in flags if f"`{flag}" not in page("configuration.md")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_link_leads_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_glossary_has_every_word_once():
    words = re.findall(r"^\| \*\*([^*]+)\*\* \|", page("concepts.md"), re.MULTILINE)
    assert len(words) == len(set(words)) >= 15


def test_readme_shows_the_product_and_says_what_it_cannot_do():
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme
    assert "make test" in readme
    assert re.search(r"!\[[^]]+\]\(docs/screenshots/[\w-]+\.png\)", readme)
    assert re.search(r"^## What it can.t do yet$", readme, re.MULTILINE)
