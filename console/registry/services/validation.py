"""Validation: an uploaded file becomes a ready version, or a refused one that says which check failed and why.

Runs in `jobs`. The file is planned, unpacked into a folder of its own on the store's disk, read by `inference inspect`
in a bounded process, described, and only then moved into the store: one rename a file, then one transaction.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from django.db import transaction
from django.utils import timezone

from console.accounts.services import record
from console.lib.actors import SYSTEM
from console.lib.errors import ConsoleError, Invalid, InvalidTransition
from console.registry import archives, store
from console.registry.archives import Unpacked
from console.registry.choices import Format, VersionState
from console.registry.hashing import hash_files
from console.registry.models import Artifact, ArtifactFile, Upload, Version
from console.registry.programs import ProgramFailed, ProgramLimits, Progress, run_program
from console.registry.services.uploads import check_room, part_path
from console.registry.services.writes import advance
from console.registry.version_file import (
    NAME,
    Declared,
    Plan,
    VersionFile,
    as_rows,
    complete,
    read_version_file,
    signature_for_inspection,
)
from inference import spec

Found = TypeVar("Found")
# It may write a .pt2 again without its sample inputs, so files as large as uploads are allowed.
INSPECT_LIMITS = ProgramLimits(wall_s=300, cpu_s=300)


@dataclass(frozen=True)
class Check:
    name: str
    title: str
    passed: bool | None = None  # None: not reached
    why: str = ""


CHECKS = (
    Check("files", "The files are whole and safe to unpack"),
    Check("description", f"{NAME}, where there is one, is well-formed"),
    Check("inspect", "The format is right and its weights can be read safely"),
    Check("stages", "Signature, stages and units fit together"),
    Check("new", "No other version of the model is the same"),
)


class Refusal(ConsoleError):
    """A check that failed."""


class Checklist:
    """The checks of one validation, in order; what is not reached says so."""

    def __init__(self, checks: Iterable[Check] = CHECKS):
        self.checks = {check.name: check for check in checks}

    def run(self, name: str, work: Callable[[], Found]) -> Found:
        """Do one check; an error that says something about the files refuses them, any other one is ours."""
        try:
            found = work()
        except (Invalid, ProgramFailed) as error:
            self.checks[name] = replace(self.checks[name], passed=False, why=str(error))
            raise Refusal(str(error)) from error
        self.checks[name] = replace(self.checks[name], passed=True)
        return found

    def pass_over(self, name: str, why: str = "") -> None:
        """Passed without work of its own."""
        self.checks[name] = replace(self.checks[name], passed=True, why=why)

    def as_rows(self) -> list[dict[str, Any]]:
        return [asdict(check) for check in self.checks.values()]


@dataclass(frozen=True)
class Inspected:
    """What is known of a folder's content."""

    declared: Declared | None
    parameters: int | None = None
    note: str = ""


def validate_upload(version: Version, progress: Progress) -> Version:
    """Decide about the file that `version` was uploaded as. Safe to run again after a crash at any point."""
    upload = Upload.objects.filter(version=version).first()
    if upload is None or not part_path(upload).exists():
        return refuse(version, Checklist(), "files", "The uploaded bytes are gone from the disk. Upload them again.")
    begin_validation(version)
    with store.storage_errors("the unpacked version"), store.workspace() as folder:
        checklist = Checklist()
        try:
            files = checklist.run("files", lambda: unpack(upload, folder, progress))
            settle_version(version, folder, files, checklist, progress)
        except Refusal as refusal:
            version = conclude_refusal(version, checklist, str(refusal))
    part_path(upload).unlink(missing_ok=True)
    return version


def unpack(upload: Upload, folder: Path, progress: Progress) -> list[Unpacked]:
    def on_bytes(done: int) -> None:
        progress(5 + 45 * min(1.0, done / (upload.size_bytes * 2)), "Unpacking")

    progress(5, "Checking the archive")
    members = archives.plan(part_path(upload), upload.filename)
    check_room(sum(member.size_bytes for member in members))
    return archives.unpack(part_path(upload), upload.filename, folder, on_bytes=on_bytes)


def settle_version(
    version: Version,
    folder: Path,
    files: list[Unpacked],
    checklist: Checklist,
    progress: Progress,
    *,
    made: VersionFile | None = None,
    inspected: Inspected | None = None,
) -> Version:
    """Check a folder of files and make them `version`. Raises Refusal with the checklist filled in.

    `made` and `inspected` come with files that were made here; a stranger's say it themselves and are inspected.
    """
    checklist.pass_over("files")
    given = made or checklist.run("description", lambda: read_version_file(folder / NAME))
    (folder / NAME).unlink(missing_ok=True)
    files = [file for file in files if file.path != NAME]
    checklist.run("description", lambda: check_description(given, version, files))
    if inspected is None:
        progress(50, "Reading the format and signature")
        inspected = checklist.run("inspect", lambda: inspect(folder, version, given, progress))
        files = checklist.run("files", lambda: hash_files(folder))  # inspection may have cleaned one
    checklist.pass_over("inspect", inspected.note)
    known = inspected
    plan = checklist.run("stages", lambda: complete(given, known.declared))
    artifact = tuple(spec.ArtifactFile(**asdict(file)) for file in files)
    digest = spec.version_digest(spec.artifact_digest(artifact), plan.signature, plan.stages)
    checklist.run("new", lambda: check_new(version, digest))
    progress(90, "Moving the files into the store")
    return accept(version, folder, artifact, plan, digest, inspected.parameters, checklist)


def check_description(given: VersionFile, version: Version, files: list[Unpacked]) -> None:
    if given.format is not None and given.format.value != version.format:
        raise Invalid(f"{NAME} says {given.format.value}, the version was announced as {version.format}.")
    if not files:
        raise Invalid("Besides the description there is no file.")


def inspect(folder: Path, version: Version, given: VersionFile, progress: Progress) -> Inspected:
    """Let `inference inspect` read the folder. It may drop a .pt2's sample inputs, in place."""
    arguments = ["inspect", str(folder), "--format", version.format, "--clean"]
    if version.native_by:
        arguments.append("--native")

    def on_wait(waited_s: float) -> None:
        progress(50 + 40 * min(1.0, waited_s / 60), "Reading the format and signature")

    with tempfile.TemporaryDirectory() as beside:
        signature = signature_for_inspection(given)
        if signature is not None and Format(version.format).runs_code:  # the other formats declare their own
            path = Path(beside) / "signature.json"
            path.write_bytes(spec.encode(signature))
            arguments += ["--signature", str(path)]
        answer = run_program(arguments, limits=INSPECT_LIMITS, on_wait=on_wait)
    try:
        declared = msgspec.convert({name: answer.get(name) for name in ("signature", "stages")}, Declared)
        warnings = msgspec.convert(answer.get("warnings", []), tuple[str, ...])
        parameters = msgspec.convert(answer.get("parameters"), int | None)
    except msgspec.ValidationError as error:
        raise ProgramFailed(f"'inference inspect' gave an answer that cannot be used: {error}") from error
    return Inspected(declared, parameters, " ".join(warnings))


def check_new(version: Version, digest: str) -> None:
    same = Version.objects.filter(model_id=version.model_id, digest=digest).exclude(pk=version.pk).first()
    if same is not None:
        raise Invalid(f"Files, signature and stages are those of {same}. Use that version.")


def begin_validation(version: Version) -> None:
    if version.state not in (VersionState.UPLOADED, VersionState.VALIDATING):
        raise InvalidTransition(f"{version} is {version.get_state_display().lower()} already.")
    with transaction.atomic():
        advance(version, version.row_version, state=VersionState.VALIDATING)


def accept(
    version: Version,
    folder: Path,
    files: tuple[spec.ArtifactFile, ...],
    plan: Plan,
    digest: str,
    parameters: int | None,
    checklist: Checklist,
) -> Version:
    with store.locked_store():
        for file in files:
            store.move_in(folder / file.path, file.sha256)
        with transaction.atomic():
            advance(
                version,
                version.row_version,
                state=VersionState.READY,
                artifact=keep_artifact(files),
                digest=digest,
                parameters=parameters,
                checks=checklist.as_rows(),
                validated_at=timezone.now(),
                **as_rows(plan),
            )
            record(SYSTEM, "version.validate", version, after={"state": version.state, "digest": digest})
    return version


def keep_artifact(files: tuple[spec.ArtifactFile, ...]) -> Artifact:
    artifact, created = Artifact.objects.get_or_create(
        digest=spec.artifact_digest(files), defaults={"size_bytes": sum(file.size_bytes for file in files)}
    )
    if created:
        ArtifactFile.objects.bulk_create(
            ArtifactFile(artifact=artifact, path=file.path, sha256=file.sha256, size_bytes=file.size_bytes)
            for file in files
        )
    return artifact


def refuse(version: Version, checklist: Checklist, name: str, why: str) -> Version:
    """Refuse for a reason found outside a running check."""
    checklist.checks[name] = replace(checklist.checks[name], passed=False, why=why)
    return conclude_refusal(version, checklist, why)


def conclude_refusal(version: Version, checklist: Checklist, why: str) -> Version:
    with transaction.atomic():
        advance(
            version,
            version.row_version,
            state=VersionState.REFUSED,
            checks=checklist.as_rows(),
            validated_at=timezone.now(),
        )
        record(SYSTEM, "version.validate", version, after={"state": version.state}, reason=why)
    return version
