"""Artifacts into the cache: whole, checked, pinned, or refused with the reason."""

import fcntl
import os
from pathlib import Path

import msgspec
import pytest
from support.replicas import make_artifact

from inference.errors import ArtifactError, CorruptArtifact, UnsafeArtifact
from inference.spec import Artifact, ArtifactFile, artifact_digest
from inference.worker.load import free_artifact, make_room, materialise

FILES = {"config.json": b"{}", "weights/model.bin": b"w" * 5000}


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return make_artifact(tmp_path / "store", FILES)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def store_path(artifact: Artifact, cache: Path, index: int) -> Path:
    sha256 = artifact.files[index].sha256
    return cache.parent / "store" / "sha256" / sha256[:2] / sha256


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_lies_under_its_own_name(artifact: Artifact, cache: Path) -> None:
    assert contents(materialise(artifact, cache).folder) == FILES


def test_a_store_on_the_same_disk_is_linked_not_copied(artifact: Artifact, cache: Path) -> None:
    folder = materialise(artifact, cache).folder
    assert (folder / "config.json").stat().st_ino == store_path(artifact, cache, 0).stat().st_ino


def test_a_second_replica_takes_the_same_folder_without_the_store(artifact: Artifact, cache: Path) -> None:
    first = materialise(artifact, cache)
    for index in range(2):
        store_path(artifact, cache, index).unlink()
    assert materialise(artifact, cache).folder == first.folder


@pytest.mark.parametrize("harm", [b"x" * 5000, b"w" * 4999, b""])
def test_a_file_that_is_not_what_its_digest_says_is_refused(artifact: Artifact, cache: Path, harm: bytes) -> None:
    store_path(artifact, cache, 1).write_bytes(harm)
    with pytest.raises(CorruptArtifact, match=r"weights/model.bin.*Upload"):
        materialise(artifact, cache)
    assert not (cache / artifact.digest).exists()
    assert not list(cache.glob("*.building"))


def test_a_file_missing_in_the_store_is_named(artifact: Artifact, cache: Path) -> None:
    store_path(artifact, cache, 0).unlink()
    with pytest.raises(CorruptArtifact, match=r"config\.json.*not in the store"):
        materialise(artifact, cache)


def test_a_cached_file_that_was_changed_is_found_and_taken_from_the_store_again(
    artifact: Artifact, cache: Path
) -> None:
    cached = materialise(artifact, cache).folder / "config.json"
    cached.unlink()  # it is a link: writing to it would change the store too
    cached.write_bytes(b"{ }")
    assert contents(materialise(artifact, cache).folder) == FILES


def test_a_folder_left_half_built_by_a_killed_process_is_no_obstacle(artifact: Artifact, cache: Path) -> None:
    (cache / f"{artifact.digest}.building" / "weights").mkdir(parents=True)
    assert contents(materialise(artifact, cache).folder) == FILES


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../b", "", "a\\b", "config.json"])
def test_a_listing_that_leads_outside_or_twice_to_one_place_is_refused(
    artifact: Artifact, cache: Path, path: str
) -> None:
    files = (*artifact.files, ArtifactFile(path=path, sha256="0" * 64, size_bytes=1))
    with pytest.raises(UnsafeArtifact):
        materialise(Artifact(digest=artifact_digest(files), files=files, store=artifact.store), cache)


def test_a_listing_of_another_digest_is_refused(artifact: Artifact, cache: Path) -> None:
    with pytest.raises(CorruptArtifact, match="does not have this digest"):
        materialise(msgspec.structs.replace(artifact, digest="0" * 64), cache)


def test_a_store_this_worker_cannot_read_is_named(artifact: Artifact, cache: Path) -> None:
    with pytest.raises(ArtifactError, match="s3://"):
        materialise(msgspec.structs.replace(artifact, store="s3://bucket/models"), cache)


def test_a_loaded_artifact_is_not_freed_and_a_released_one_is(artifact: Artifact, cache: Path) -> None:
    pinned = materialise(artifact, cache)
    assert not free_artifact(cache, artifact.digest)
    assert contents(pinned.folder) == FILES
    pinned.turned.write_bytes(b"weights")
    pinned.release()
    assert free_artifact(cache, artifact.digest)
    assert not pinned.folder.exists()
    assert not pinned.turned.exists()


def test_a_pin_ends_with_its_process(artifact: Artifact, cache: Path) -> None:
    child = os.fork()
    if child == 0:
        materialise(artifact, cache)
        os._exit(0)
    os.waitpid(child, 0)
    assert free_artifact(cache, artifact.digest)


def test_a_full_disk_is_said_with_figures(artifact: Artifact, cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    petabytes = ArtifactFile(path="huge", sha256="0" * 64, size_bytes=10**18)
    huge = Artifact(digest=artifact_digest([petabytes]), files=(petabytes,), store=artifact.store)
    elsewhere = Path("/proc")  # a store on another disk: its files would be copied
    with pytest.raises(ArtifactError, match=rf"disk of the artifact cache is full\. {10**18} bytes are needed"):
        make_room(huge, elsewhere, cache)


def test_room_is_made_by_freeing_what_is_not_loaded(artifact: Artifact, cache: Path, tmp_path: Path) -> None:
    loaded = materialise(artifact, cache)
    idle = materialise(make_artifact(tmp_path / "store", {"old": b"old"}), cache)
    idle.release()
    petabytes = ArtifactFile(path="huge", sha256="0" * 64, size_bytes=10**18)
    huge = Artifact(digest=artifact_digest([petabytes]), files=(petabytes,), store=artifact.store)
    with pytest.raises(ArtifactError):
        make_room(huge, Path("/proc"), cache)
    assert not idle.folder.exists()
    assert loaded.folder.exists()


def test_two_processes_that_fill_one_folder_wait_for_each_other(artifact: Artifact, cache: Path) -> None:
    cache.mkdir()
    filling = os.open(cache / f"{artifact.digest}.filling", os.O_RDWR | os.O_CREAT)
    fcntl.flock(filling, fcntl.LOCK_EX)
    child = os.fork()
    if child == 0:
        os.close(filling)  # a lock lives as long as any copy of its descriptor
        os._exit(0 if contents(materialise(artifact, cache).folder) == FILES else 1)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    assert not (cache / artifact.digest).exists()
    os.close(filling)
    assert os.waitpid(child, 0)[1] == 0
