"""The demo models: made by a recipe of the data plane, put into the store like any other version, and served.

`minilm` v1 comes first and fast; `digits` and the ONNX twin of `minilm` follow in the background. A recipe keeps what
it made in `<data>/demo/<recipe>`, so after the first time this takes a moment.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from console.lib.actors import SYSTEM
from console.lib.errors import Missing
from console.registry import services as registry
from console.registry import store
from console.registry.choices import Source, VersionState
from console.registry.hashing import hash_files
from console.registry.models import Model, Version
from console.registry.programs import ProgramLimits, Progress, run_program
from console.registry.services import validation
from console.registry.services.writes import advance
from console.registry.version_file import NAME, VersionFile
from console.serving import services as serving
from console.serving.samples import demo_folder
from console.serving.selectors import traffic_of
from inference import spec

LIMITS = ProgramLimits(wall_s=900, cpu_s=1800, data_bytes=32 * 1024**3)
DESCRIPTIONS = {
    "minilm": "Turns a sentence into 384 numbers; sentences that mean the same lie close together.",
    "digits": "Reads a handwritten digit from a small picture and says how sure it is.",
}
NOTES = {
    "minilm-v1": "all-MiniLM-L6-v2 as published, safetensors",
    "minilm-v2": "Version 1 exported to ONNX; answers alike to 1e-4",
    "digits-v1": "A small network trained on scikit-learn's digits, each stage a unit of its own",
}


class DemoFile(VersionFile, frozen=True, kw_only=True):
    """The recipe's version.json: a version file that also says which recipe made it."""

    recipe: str
    recipe_digest: str
    model: str
    description: str = ""
    figures: dict[str, spec.Scalar] = {}


def make_demo_version(recipe: str, progress: Progress, *, inspected: bool = True) -> Version:
    """Make what the recipe makes, register it, and serve it where nothing serves yet. Safe to run twice.

    Without `inspected` the files are not read again: a start that waits for them has no seconds to give, and the recipe
    made them a moment ago.
    """
    folder = run_recipe(recipe, progress)
    made = spec.decode((folder / NAME).read_bytes(), DemoFile)
    model = demo_model(made.model)
    known = find_made(model, recipe)
    note = None if inspected else validation.Inspected(None, read_count(made), f"Made here by the recipe {recipe}")
    version = known or register(model, recipe, made, folder / "files", progress, note)
    serve_first(model, version)
    return version


def run_recipe(recipe: str, progress: Progress) -> Path:
    if recipe not in NOTES:
        raise Missing(f"No recipe {recipe!r}; there are: {', '.join(NOTES)}.")
    folder = demo_folder() / recipe
    progress(1, "Making the files")

    def on_wait(waited_s: float) -> None:
        progress(min(60.0, 1 + waited_s), "Making the files")

    run_program(["demo", "--recipe", recipe, "--out", str(folder)], limits=LIMITS, on_wait=on_wait)
    return folder


def demo_model(name: str) -> Model:
    held = Model.objects.filter(name=name).first()
    if held is not None:
        return held
    return registry.create_model(
        name=name, actor=SYSTEM, description=DESCRIPTIONS.get(name, ""), owner="Demo", tags=["demo"], demo=True
    )


def find_made(model: Model, recipe: str) -> Version | None:
    """The version that the recipe made before, if it got as far as being ready."""
    version = model.versions.filter(source=Source.DEMO, notes=NOTES[recipe]).order_by("-number").first()
    return version if version is not None and version.artifact_id else None


def find_made_by(recipe: str) -> Version | None:
    model = Model.objects.filter(name=recipe.rpartition("-")[0]).first()
    return find_made(model, recipe) if model else None


def read_count(made: DemoFile) -> int | None:
    count = made.figures.get("parameters")
    return count if isinstance(count, int) else None


def register(
    model: Model,
    recipe: str,
    made: DemoFile,
    files: Path,
    progress: Progress,
    inspected: validation.Inspected | None,
) -> Version:
    version = model.versions.filter(source=Source.DEMO, notes=NOTES[recipe], artifact=None).first()
    if version is None:
        version = registry.add_version(
            model=model,
            format=(made.format or spec.Format.SAFETENSORS).value,
            actor=SYSTEM,
            source=Source.DEMO,
            parent=model.versions.order_by("number").first(),
            notes=NOTES[recipe],
        )
    elif version.state != VersionState.UPLOADED:  # an attempt that broke off: its number is used, not skipped
        advance(version, version.row_version, state=VersionState.UPLOADED, checks=[])
    validation.begin_validation(version)
    given = VersionFile(format=made.format, signature=made.signature, stages=made.stages, units=made.units)
    checklist = validation.Checklist()
    with store.storage_errors("the demo model"), store.workspace() as folder:
        link_tree(files, folder)
        return validation.settle_version(
            version, folder, hash_files(folder), checklist, progress, made=given, inspected=inspected
        )


def link_tree(source: Path, target: Path) -> None:
    """Links cost nothing and nobody writes into a recipe's files; copies where the disk cannot link."""
    link: Callable[[Any, Any], Any] = os.link
    try:
        shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)
    except (OSError, shutil.Error):
        shutil.rmtree(target)
        shutil.copytree(source, target)


def serve_first(model: Model, version: Version) -> None:
    """A demo model answers at once; a later version is loaded beside, and waits for a person to move traffic to it."""
    view = traffic_of(model)
    if not view.serving:
        serving.set_stable_version(model=model, to=version, seen=view.row_version, actor=SYSTEM, reason="Demo")
    elif not view.percent_of(version):
        serving.keep_loaded(version=version, actor=SYSTEM)
