"""Uploads survive what happens to uploads: cut lines, damaged chunks, full disks, two senders, second tries."""

import fcntl
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from support.registered import send, sha256

from console.lib.errors import Busy, Conflict, Invalid, InvalidTransition, NotAllowed, StorageFull, TooLarge
from console.registry import selectors, services
from console.registry.models import Upload, Version
from console.registry.services.uploads import DigestMismatch, DuplicateUpload, OffsetMismatch, part_path

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 400


@pytest.fixture
def announce(model: Any, operator: Any) -> Callable[..., Upload]:
    def call(content: bytes = CONTENT, **fields: Any) -> Upload:
        wanted = {"filename": "model.onnx", "format": "onnx", "actor": operator, "size_bytes": len(content)}
        return services.create_upload(**{"model": model, "sha256": sha256(content), **wanted, **fields})

    return call


def append(upload: Upload, chunk: bytes, *, at: int | None = None, digest: str = "") -> Upload:
    offset = upload.offset_bytes if at is None else at
    return services.append_chunk(upload=upload, offset_bytes=offset, chunk=[chunk], sha256=digest or sha256(chunk))


def test_chunks_become_a_version_that_waits_for_validation(announce: Callable[..., Upload], operator: Any) -> None:
    upload = send(announce(notes="first try"), CONTENT, chunk_bytes=30_000)
    version = services.complete_upload(upload=upload, actor=operator)
    assert (version.number, version.state, version.notes, version.created_by) == (1, "uploaded", "first try", "omar")
    assert part_path(upload).read_bytes() == CONTENT
    assert services.complete_upload(upload=upload, actor=operator) == version  # twice is once


def test_an_interrupted_upload_goes_on_where_it_stopped(announce: Callable[..., Upload]) -> None:
    def cut_off() -> Iterator[bytes]:
        yield CONTENT[40_000:50_000]
        raise ConnectionResetError

    upload = append(announce(), CONTENT[:40_000])
    with pytest.raises(ConnectionResetError):
        services.append_chunk(upload=upload, offset_bytes=40_000, chunk=cut_off(), sha256=sha256(CONTENT[40_000:]))
    again = announce()  # the same file, announced by the same person after a reload
    assert (again.pk, again.offset_bytes) == (upload.pk, 40_000)
    assert send(again, CONTENT).offset_bytes == len(CONTENT)
    assert part_path(upload).read_bytes() == CONTENT


def test_what_a_crash_left_behind_the_counted_bytes_is_written_over(announce: Callable[..., Upload]) -> None:
    upload = append(announce(), CONTENT[:1000])
    with part_path(upload).open("ab") as part:
        part.write(b"half a chunk that was never counted")
    send(upload, CONTENT)
    assert part_path(upload).read_bytes() == CONTENT


def test_a_damaged_chunk_is_not_kept(announce: Callable[..., Upload]) -> None:
    upload = append(announce(), CONTENT[:100])
    with pytest.raises(DigestMismatch):
        append(upload, b"x" * 100, digest=sha256(b"y" * 100))
    upload.refresh_from_db()
    assert (upload.offset_bytes, part_path(upload).stat().st_size) == (100, 100)


@pytest.mark.parametrize("at", [0, 99, 101])
def test_a_chunk_for_another_place_is_told_where_the_upload_stands(at: int, announce: Callable[..., Upload]) -> None:
    upload = append(announce(), CONTENT[:100])
    with pytest.raises(OffsetMismatch) as refused:
        append(upload, CONTENT[at : at + 10], at=at)
    assert refused.value.offset_bytes == 100


def test_a_chunk_past_the_announced_end_or_the_limit_is_refused(announce: Callable[..., Upload]) -> None:
    with pytest.raises(TooLarge):
        append(announce(), CONTENT + b"x")
    big = announce(CONTENT, size_bytes=20 * 1024**2, sha256="0" * 64)
    with pytest.raises(TooLarge, match=str(8 * 1024**2)):
        append(big, bytes(8 * 1024**2 + 1))


def test_two_senders_do_not_write_at_once(announce: Callable[..., Upload]) -> None:
    upload = announce()
    with part_path(upload).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="one chunk at a time"):
            append(upload, CONTENT)
    assert append(upload, CONTENT).offset_bytes == len(CONTENT)


def test_a_file_that_is_not_the_announced_one_starts_over(announce: Callable[..., Upload], operator: Any) -> None:
    upload = send(announce(sha256=sha256(b"something else")), CONTENT)
    with pytest.raises(DigestMismatch, match="from the start"):
        services.complete_upload(upload=upload, actor=operator)
    upload.refresh_from_db()
    assert upload.offset_bytes == 0
    assert not Version.objects.exists()


def test_an_unfinished_upload_is_not_completed(announce: Callable[..., Upload], operator: Any) -> None:
    with pytest.raises(OffsetMismatch, match="Send the rest"):
        services.complete_upload(upload=append(announce(), CONTENT[:10]), actor=operator)


def test_the_same_file_again_is_recognised(announce: Callable[..., Upload], operator: Any) -> None:
    version = services.complete_upload(upload=send(announce(), CONTENT), actor=operator)
    with pytest.raises(DuplicateUpload) as refused:
        announce()
    assert refused.value.version == version


def test_the_quota_counts_what_is_coming_too(announce: Callable[..., Upload], settings: Any) -> None:
    settings.UPLOAD_QUOTA_BYTES = 2 * len(CONTENT)
    announce()
    announce(sha256="1" * 64)
    with pytest.raises(StorageFull, match="0 of the quota"):
        announce(sha256="2" * 64)
    assert selectors.storage_used_bytes() == 2 * len(CONTENT)


def test_a_file_larger_than_the_disk_is_refused_at_once(announce: Callable[..., Upload], settings: Any) -> None:
    settings.UPLOAD_QUOTA_BYTES = 2**60
    with pytest.raises(StorageFull, match="the disk has"):
        announce(size_bytes=2**59)


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow past a size: a write there is cut, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_tears_nothing_and_the_upload_goes_on_later(announce: Callable[..., Upload], operator: Any) -> None:
    content = b"weights!" * (3 * 1024**2)
    upload = announce(content)
    with files_end_at(20 * 1024**2):
        with pytest.raises(StorageFull, match="disk is full"):
            send(upload, content)
        upload.refresh_from_db()
        assert upload.offset_bytes == part_path(upload).stat().st_size == 16 * 1024**2
    version = services.complete_upload(upload=send(upload, content), actor=operator)
    assert version.state == "uploaded"


def test_idle_uploads_are_forgotten_with_their_bytes(announce: Callable[..., Upload]) -> None:
    idle, busy = append(announce(), b"x"), announce(sha256="1" * 64)
    Upload.objects.filter(pk=idle.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert services.expire_uploads() == 1
    assert not part_path(idle).exists()
    assert part_path(busy).exists()
    assert list(selectors.list_uploads()) == [busy]


def test_a_cancelled_upload_is_gone_and_a_complete_one_cannot_be_cancelled(
    announce: Callable[..., Upload], operator: Any
) -> None:
    upload = announce()
    services.cancel_upload(upload=upload, actor=operator)
    assert not part_path(upload).exists()
    done = send(announce(), CONTENT)
    services.complete_upload(upload=done, actor=operator)
    done.refresh_from_db()
    with pytest.raises(InvalidTransition):
        services.cancel_upload(upload=done, actor=operator)


def test_bytes_that_vanished_are_said_to_be_gone(announce: Callable[..., Upload]) -> None:
    upload = announce()
    part_path(upload).unlink()
    with pytest.raises(Conflict, match="gone from the disk"):
        append(upload, CONTENT)


@pytest.mark.parametrize(
    "fields",
    [
        {"filename": "../evil.onnx"},
        {"filename": "a/b.onnx"},
        {"filename": ""},
        {"size_bytes": 0},
        {"sha256": "xyz"},
        {"format": "pickle"},
    ],
)
def test_what_cannot_become_a_version_is_refused_at_once(fields: dict, announce: Callable[..., Upload]) -> None:
    with pytest.raises(Invalid):
        announce(**fields)


def test_a_format_that_runs_code_is_refused_before_its_bytes_are_sent(announce: Callable[..., Upload]) -> None:
    with pytest.raises(NotAllowed):
        announce(format="torchscript", native=True)
