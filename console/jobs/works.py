"""The work behind each kind of operation. Each returns what the operation's result shows, with a `message`."""

import contextlib
import hashlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.db import transaction

from console.accounts.services import record
from console.jobs.choices import OperationKind
from console.jobs.demo import make_demo_version
from console.jobs.models import Operation
from console.jobs.running import Beat, Cancelled, Stopping, Work
from console.jobs.traffic import send_traffic
from console.lib.actors import SYSTEM
from console.lib.errors import Conflict, ConsoleError, Missing
from console.registry import services as registry
from console.registry import store
from console.registry.archives import Unpacked
from console.registry.choices import VersionState
from console.registry.hashing import hash_files
from console.registry.models import ArtifactFile, Version
from console.registry.programs import ProgramLimits, run_program
from console.registry.services import validation
from console.registry.version_file import VersionFile

EXPORT_LIMITS = ProgramLimits(wall_s=1800, cpu_s=3600, data_bytes=32 * 1024**3)
READ_BYTES = 1024 * 1024


def validate(operation: Operation, beat: Beat) -> dict[str, Any]:
    version = find_version(operation.arguments["version"])
    if version.state in (VersionState.READY, VersionState.REFUSED):
        return outcome(version)  # an earlier attempt got as far as this, and no further
    try:
        return outcome(registry.validate_upload(version, beat))
    except Exception:
        reopen(version)
        raise


def reopen(version: Version) -> None:
    """Validation broke off for a reason that is not the file's: it can be tried again."""
    Version.objects.filter(pk=version.pk, state=VersionState.VALIDATING).update(state=VersionState.UPLOADED)


def outcome(version: Version) -> dict[str, Any]:
    refused = version.refusals
    said = f"{version} is ready" if not refused else f"{version} was refused: {refused[0]['why']}"
    return {"message": said, "model": version.model.name, "version": version.number, "state": version.state}


class FilesDamaged(Conflict):
    code = "artifact_corrupt"


def verify(operation: Operation, beat: Beat) -> dict[str, Any]:
    """Read every stored file again and compare it with its digest."""
    version = find_version(operation.arguments["version"])
    files = list(ArtifactFile.objects.filter(artifact=version.artifact_id))
    total, done = max(1, sum(file.size_bytes for file in files)), 0
    for file in files:
        digest = hashlib.sha256()
        try:
            with store.blob_path(file.sha256).open("rb") as blob:
                while piece := blob.read(READ_BYTES):
                    digest.update(piece)
                    done += len(piece)
                    beat(100 * done / total, f"Reading {file.path}")
        except FileNotFoundError:
            raise FilesDamaged(f"{file.path} of {version} is gone from the store. Upload the version again.") from None
        if digest.hexdigest() != file.sha256:
            raise FilesDamaged(f"{file.path} of {version} is damaged on disk. Upload the version again.")
    with transaction.atomic():
        record(SYSTEM, "version.verify", version, after={"files": len(files)})
    return {"message": f"All {len(files)} files of {version} are as they were stored", "files": len(files)}


def export(operation: Operation, beat: Beat) -> dict[str, Any]:
    source = find_version(operation.arguments["source"])
    made = find_version(operation.arguments["version"])
    validation.begin_validation(made)
    checklist = validation.Checklist()
    try:
        with store.storage_errors("the exported version"), store.workspace() as folder:
            given, files = export_into(source, folder, beat)
            validation.settle_version(made, folder / "out", files, checklist, beat, made=given)
    except Stopping:
        reopen(made)
        raise
    except validation.Refusal as refusal:
        validation.conclude_refusal(made, checklist, str(refusal))
        raise
    except Cancelled:
        give_up_export(operation, "The export was cancelled.")
        raise
    except Exception as error:
        why = str(error) if isinstance(error, ConsoleError) else f"The export broke off ({type(error).__name__})."
        give_up_export(operation, why)
        raise
    return outcome(made)


def give_up_export(operation: Operation, why: str) -> None:
    """The version that was to be made is refused: nothing will come for it any more."""
    made = find_version(operation.arguments["version"])
    if made.state in (VersionState.UPLOADED, VersionState.VALIDATING):
        validation.refuse(made, validation.Checklist(), "files", why)


def export_into(source: Version, folder: Path, beat: Beat) -> tuple[VersionFile, list[Unpacked]]:
    """Run the exporter on the source's files; the new version keeps the source's stages and units."""
    lay_out(source, folder / "in")
    arguments = ["export", "--from", str(folder / "in"), "--to", str(folder / "out")]

    def on_wait(waited_s: float) -> None:
        beat(min(50.0, 5 + waited_s), "Exporting and comparing answers")

    run_program(arguments, limits=EXPORT_LIMITS, on_wait=on_wait)
    given = VersionFile(signature=source.signature_spec(), stages=source.stage_specs(), units=source.unit_specs())
    shutil.rmtree(folder / "in")
    return given, hash_files(folder / "out")


def lay_out(version: Version, folder: Path) -> None:
    """The version's files by their own names, as links to the store's."""
    for file in ArtifactFile.objects.filter(artifact=version.artifact_id):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(store.blob_path(file.sha256), target)


def demo(operation: Operation, beat: Beat) -> dict[str, Any]:
    version = make_demo_version(operation.arguments["recipe"], beat)
    return outcome(version)


def traffic(operation: Operation, beat: Beat) -> dict[str, Any]:
    sent = send_traffic(**operation.arguments, beat=beat)
    return {"message": sent.sentence, **asdict(sent)}


def find_version(pk: int) -> Version:
    version = Version.objects.select_related("model", "artifact").filter(pk=pk).first()
    if version is None:
        raise Missing("The version was deleted meanwhile.")
    return version


WORKS: dict[str, Work] = {
    OperationKind.VALIDATE: validate,
    OperationKind.VERIFY: verify,
    OperationKind.EXPORT: export,
    OperationKind.DEMO: demo,
    OperationKind.TRAFFIC: traffic,
}


def give_up(operation: Operation, why: str) -> None:
    """Set right what an operation that will never run again leaves behind, within the transaction that ends it."""
    with contextlib.suppress(Missing):  # its version was deleted: nothing is left behind
        if operation.kind == OperationKind.EXPORT:
            give_up_export(operation, why)
        elif operation.kind == OperationKind.VALIDATE:
            reopen(find_version(operation.arguments["version"]))
