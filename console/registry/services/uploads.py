"""Uploads: a file arrives in chunks that may be repeated, late or cut off, and becomes a version only when whole.

The row's `offset_bytes` is the truth. A chunk is written past it, checked, synced, and only then counted; whatever
fails before that is cut off again, so an upload is never torn: not by a crash, a lost line or a full disk.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BufferedRandom
from pathlib import Path
from typing import IO

from django.db import transaction
from django.utils import timezone

from console.accounts.services import record
from console.lib.actors import SYSTEM, Actor
from console.lib.errors import (
    AlreadyExists,
    Busy,
    Conflict,
    Invalid,
    InvalidTransition,
    StaleWrite,
    StorageFull,
    TooLarge,
)
from console.registry import selectors, store
from console.registry.archives import check_filename
from console.registry.choices import Source, UploadState
from console.registry.models import Model, Upload, Version
from console.registry.services.versions import MAX_NOTES, add_version, check_native

MAX_CHUNK_BYTES = 8 * 1024**2
READ_BYTES = 64 * 1024
IDLE = timedelta(hours=24)
KEPT = timedelta(days=30)  # a finished upload is remembered, so that the same file is recognised
SPARE_BYTES = 64 * 1024**2  # the disk's last bytes belong to the database and the logs


class DigestMismatch(Invalid):
    code = "digest_mismatch"


class OffsetMismatch(Conflict):
    """`offset_bytes` is where the upload stands: go on from there."""

    code = "offset_mismatch"

    def __init__(self, message: str, offset_bytes: int):
        super().__init__(message)
        self.offset_bytes = offset_bytes

    def extras(self) -> dict[str, int]:
        return {"offset_bytes": self.offset_bytes}


class DuplicateUpload(AlreadyExists):
    code = "duplicate_upload"

    def __init__(self, version: Version):
        super().__init__(f"This very file is {version} already. Use that version, or change the file.")
        self.version = version

    def extras(self) -> dict[str, int]:
        return {"version": self.version.number}


def part_path(upload: Upload) -> Path:
    return store.uploads_folder() / f"{upload.pk}.part"


def create_upload(
    *,
    model: Model,
    filename: str,
    size_bytes: int,
    sha256: str,
    format: str,
    actor: Actor,
    native: bool = False,
    notes: str = "",
) -> Upload:
    """Announce a file. The same file announced again by the same person resumes; one that is a version is said so."""
    filename = check_filename(filename)
    sha256 = sha256.lower()
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise Invalid.field("sha256", "The digest is the file's SHA-256 as 64 hexadecimal digits.")
    if size_bytes <= 0:
        raise Invalid.field("size_bytes", "The file is empty.")
    if model.archived_at is not None:
        raise InvalidTransition(f"Model {model.name!r} is archived. Restore it before adding versions.", ("restore",))
    check_native(format, native, actor)
    if known := selectors.find_version_by_upload_sha256(model, sha256):
        raise DuplicateUpload(known)
    with store.storage_errors("the upload"), store.locked_store(), transaction.atomic():
        held = selectors.list_uploads(model).filter(
            sha256=sha256, size_bytes=size_bytes, format=format, created_by=actor.actor_name
        )
        if resumed := held.first():
            return resumed
        check_room(size_bytes)
        upload = Upload.objects.create(
            model=model,
            filename=filename,
            size_bytes=size_bytes,
            sha256=sha256,
            format=format,
            native=native,
            notes=notes[:MAX_NOTES],
            created_by=actor.actor_name,
            expires_at=timezone.now() + IDLE,
        )
        part_path(upload).touch(mode=0o600)
        record(actor, "upload.create", model, after={"filename": filename, "size_bytes": size_bytes, "sha256": sha256})
        return upload


def check_room(size_bytes: int) -> None:
    """For an announcement within `locked_store`, so that two of them cannot both take the last of the quota."""
    quota, used = selectors.storage_quota_bytes(), selectors.storage_used_bytes()
    if used + size_bytes > quota:
        raise StorageFull(
            f"This takes {size_bytes} bytes; {max(0, quota - used)} of the quota of {quota} are left. "
            "Delete versions, or ask an admin to raise SWITCHYARD_UPLOAD_QUOTA_BYTES."
        )
    free = store.free_bytes(store.uploads_folder()) - SPARE_BYTES
    if size_bytes > free:
        raise StorageFull(f"This takes {size_bytes} bytes; the disk has {max(0, free)} to give. Free some space.")


@contextmanager
def locked_part(upload: Upload) -> Iterator[BufferedRandom]:
    """The part file, for one writer at a time; a second one is told so instead of waiting."""
    try:
        part = part_path(upload).open("r+b")
    except FileNotFoundError:
        raise Conflict(f"The bytes of upload {upload.pk} are gone from the disk. Cancel it and begin again.") from None
    with part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("Another request is writing to this upload. Send one chunk at a time.") from None
        yield part


def append_chunk(*, upload: Upload, offset_bytes: int, chunk: Iterable[bytes], sha256: str) -> Upload:
    """Add one chunk, streamed; `sha256` is of the chunk alone. Returns the upload with its new offset."""
    with store.storage_errors("the chunk"), locked_part(upload) as part:
        upload.refresh_from_db()
        if upload.state != UploadState.RECEIVING:
            raise InvalidTransition(f"Upload {upload.pk} is complete.")
        if offset_bytes != upload.offset_bytes:
            raise OffsetMismatch(
                f"The chunk begins at {offset_bytes}; the upload stands at {upload.offset_bytes}.", upload.offset_bytes
            )
        try:
            written = write_chunk(part, upload, chunk, sha256)
        except BaseException:
            part.truncate(upload.offset_bytes)  # needs no space, so it succeeds on a full disk too
            raise
        count_chunk(upload, written)
    return upload


def write_chunk(part: IO[bytes], upload: Upload, chunk: Iterable[bytes], sha256: str) -> int:
    """Write behind the counted bytes, over whatever a crash left there."""
    most = min(MAX_CHUNK_BYTES, upload.size_bytes - upload.offset_bytes)
    digest, size = hashlib.sha256(), 0
    part.seek(upload.offset_bytes)
    part.truncate()
    for piece in chunk:
        size += len(piece)
        if size > most:
            raise TooLarge(f"The chunk is longer than {most} bytes, the most that fits here in one piece.")
        digest.update(piece)
        part.write(piece)
    if size == 0:
        raise Invalid("The chunk is empty.")
    if digest.hexdigest() != sha256.lower():
        raise DigestMismatch("The chunk arrived damaged: its SHA-256 is not the one in the header. Send it again.")
    part.flush()
    os.fsync(part.fileno())
    return size


def count_chunk(upload: Upload, size: int) -> None:
    rows = Upload.objects.filter(pk=upload.pk, offset_bytes=upload.offset_bytes, state=UploadState.RECEIVING)
    values = {
        "offset_bytes": upload.offset_bytes + size,
        "expires_at": timezone.now() + IDLE,
        "row_version": upload.row_version + 1,
    }
    if rows.update(**values) != 1:
        raise StaleWrite("The upload was changed by another request; ask where it stands.")
    upload.refresh_from_db()


def complete_upload(*, upload: Upload, actor: Actor) -> Version:
    """Check the whole file's digest and make it a version that waits for validation. Twice is once."""
    check_whole(upload)
    return make_version(upload=upload, actor=actor)


def check_whole(upload: Upload) -> None:
    """Read the file and compare its digest: minutes for a large one, so never within a transaction."""
    if upload.state == UploadState.COMPLETE:
        return
    with locked_part(upload) as part:
        upload.refresh_from_db()
        if upload.offset_bytes != upload.size_bytes:
            raise OffsetMismatch(
                f"{upload.offset_bytes} of {upload.size_bytes} bytes are here. Send the rest.", upload.offset_bytes
            )
        part.seek(0)
        found = hashlib.file_digest(part, "sha256").hexdigest()
        if found != upload.sha256:
            Upload.objects.filter(pk=upload.pk).update(offset_bytes=0)
            raise DigestMismatch(
                f"The file's SHA-256 is {found}, announced was {upload.sha256}. Send it again from the start."
            )


@transaction.atomic
def make_version(*, upload: Upload, actor: Actor) -> Version:
    """The version of an upload whose file was checked; nothing can be appended to that any more."""
    upload = Upload.objects.select_for_update(of=("self",)).select_related("version__model", "model").get(pk=upload.pk)
    if upload.version is not None:
        return upload.version
    version = add_version(
        model=upload.model,
        format=upload.format,
        actor=actor,
        source=Source.UPLOAD,
        native=upload.native,
        notes=upload.notes,
    )
    upload.state, upload.version, upload.expires_at = UploadState.COMPLETE, version, timezone.now() + KEPT
    upload.row_version += 1
    upload.save()
    return version


def cancel_upload(*, upload: Upload, actor: Actor) -> None:
    """Forget an upload and its bytes."""
    if upload.state != UploadState.RECEIVING:
        raise InvalidTransition(f"Upload {upload.pk} is complete: delete version {upload.version} instead.")
    with transaction.atomic():
        record(
            actor, "upload.cancel", upload.model, before={"filename": upload.filename, "offset": upload.offset_bytes}
        )
        Upload.objects.filter(pk=upload.pk).delete()
    part_path(upload).unlink(missing_ok=True)


def expire_uploads() -> int:
    """Forget what nobody has sent to for a day, and part files that no row names. Called now and then by `jobs`."""
    stale = Upload.objects.filter(expires_at__lt=timezone.now())
    count = 0
    for upload in stale.select_related("model")[:500]:
        if upload.state == UploadState.RECEIVING:
            cancel_upload(upload=upload, actor=SYSTEM)
        else:
            upload.delete()
            part_path(upload).unlink(missing_ok=True)
        count += 1
    remove_orphans()
    return count


def remove_orphans() -> None:
    """Part files whose row never came to be, or is gone. An hour's grace for one that is being made."""
    oldest_s = (timezone.now() - timedelta(hours=1)).timestamp()
    for part in store.uploads_folder().glob("*.part"):
        if part.stat().st_mtime < oldest_s and not Upload.objects.filter(pk=part.stem).exists():
            part.unlink(missing_ok=True)
