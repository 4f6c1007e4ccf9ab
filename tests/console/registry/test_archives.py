"""An archive is judged before a byte of it is unpacked, and nothing that it says is believed."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.registered import zip_of

from console.registry.archives import plan, unpack
from console.registry.containers import LIMITS, Limits, UnsafeUpload

SMALL = Limits(max_files=10, max_bytes=100_000, max_ratio=50, free_ratio_bytes=20_000)


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], *, zipped: bool = True) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz" if zipped else "w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return held.getvalue()


def plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def special(name: str, kind: bytes, target: str = "/etc/passwd") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def zip_link() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        info = zipfile.ZipInfo("model.onnx")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return held.getvalue()


def zip_flagged_encrypted() -> bytes:
    raw = bytearray(zip_of({"model.onnx": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    return bytes(raw)


def zip_overlapping() -> bytes:
    """Two directory entries over the same bytes: the seed of every record-breaking zip bomb."""
    raw = zip_of({"a": b"x" * 500, "b": b"y" * 500}, zipfile.ZIP_STORED)
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    return raw[: second + 42] + struct.pack("<I", 0) + raw[second + 46 :]


def zip_twice() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("model.onnx", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("model.onnx", b"two")
    return held.getvalue()


def zip_of_forged_size() -> bytes:
    """The directory says 5 bytes, the member holds 5,000."""
    raw = bytearray(zip_of({"model.onnx": b"x" * 5_000}))
    at = raw.index(b"PK\x01\x02") + 24
    raw[at : at + 4] = struct.pack("<I", 5)
    return bytes(raw)


def tar_with_giant_header() -> bytes:
    """A pax header that claims a gigabyte, which the library would read into memory in one piece."""
    info = tarfile.TarInfo("PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1024**3
    return gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 4096)


def tar_that_skips_far() -> bytes:
    """One member that claims 60 GB: its end lies beyond every limit, and nobody should skip there."""
    info = tarfile.TarInfo("weights")
    info.size = 60 * 1024**3
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096)


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip slip": ("a.zip", lambda: zip_of({"../../evil": b"x"}), "leads out"),
    "zip slip behind a folder": ("a.zip", lambda: zip_of({"a/../../evil": b"x"}), "leads out"),
    "absolute name": ("a.zip", lambda: zip_of({"/etc/cron.d/evil": b"x"}), "absolute"),
    "drive letter": ("a.zip", lambda: zip_of({"C:evil": b"x"}), "absolute"),
    "backslashes": ("a.zip", lambda: zip_of({"..\\evil": b"x"}), "absolute"),
    "line break in a name": ("a.zip", lambda: zip_of({"a\nb": b"x"}), "cannot be seen"),
    "a name that reads backwards": ("a.zip", lambda: zip_of({"\u202egpj.onnx": b"x"}), "cannot be seen"),
    "long name": ("a.zip", lambda: zip_of({"d/" * 200 + "x": b"x", "y": b""}), "longer"),
    "symbolic link": ("a.zip", zip_link, "link"),
    "encrypted": ("a.zip", zip_flagged_encrypted, "encrypted"),
    "overlapping members": ("a.zip", zip_overlapping, "overlaps"),
    "a name twice": ("a.zip", zip_twice, "twice"),
    "a name twice by case": ("a.zip", lambda: zip_of({"Model": b"1", "model": b"2"}), "twice"),
    "a file that is a folder": ("a.zip", lambda: zip_of({"a": b"1", "a/b": b"2"}), "as a folder"),
    "many files": ("a.zip", lambda: zip_of({f"f{n}": b"" for n in range(11)}), "are allowed"),
    "too many bytes": ("a.zip", lambda: zip_of({"f": b"x" * 100_001}, zipfile.ZIP_STORED), "are allowed"),
    "zip bomb": ("a.zip", lambda: zip_of({"f": b"\0" * 90_000}), "zip bomb"),
    "forged size": ("a.zip", zip_of_forged_size, "breaks off or is damaged"),
    "no zip": ("a.zip", lambda: b"this is no archive at all", "not a zip"),
    "cut zip": ("a.zip", lambda: zip_of({"f": b"x" * 999})[:-30], "not a zip"),
    "empty zip": ("a.zip", lambda: zip_of({}), "holds no file"),
    "tar slip": ("a.tar.gz", lambda: tar_of([plain("../evil")]), "leads out"),
    "tar absolute": ("a.tar.gz", lambda: tar_of([plain("/evil")]), "absolute"),
    "tar symbolic link": ("a.tgz", lambda: tar_of([special("l", tarfile.SYMTYPE)]), "link"),
    "tar hard link": ("a.tgz", lambda: tar_of([special("l", tarfile.LNKTYPE)]), "link"),
    "tar device": ("a.tar", lambda: tar_of([special("d", tarfile.CHRTYPE)], zipped=False), "special"),
    "tar fifo": ("a.tar", lambda: tar_of([special("p", tarfile.FIFOTYPE)], zipped=False), "special"),
    "tar name twice": ("a.tgz", lambda: tar_of([plain("a"), plain("a")]), "twice"),
    "tar many files": ("a.tgz", lambda: tar_of([plain(f"f{n}") for n in range(11)]), "more than"),
    "tar bomb": ("a.tgz", lambda: tar_of([plain("f", b"\0" * 90_000)]), "zip bomb|more than"),
    "tar giant header": ("a.tgz", tar_with_giant_header, "absurdly|more than"),
    "tar far end": ("a.tgz", tar_that_skips_far, "more than"),
    "no tar": ("a.tgz", lambda: b"neither gzip nor tar" * 50, "not a readable"),
    "cut gzip": ("a.tgz", lambda: tar_of([plain("f", bytes(range(256)) * 40)])[:100], "not a readable|breaks off"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing_outside_its_folder(case: str, tmp_path: Path) -> None:
    name, build, reason = HOSTILE[case]
    archive, folder = tmp_path / "upload.part", tmp_path / "deep" / "folder"
    archive.write_bytes(build())
    folder.mkdir(parents=True)
    with pytest.raises(UnsafeUpload, match=reason):
        unpack(archive, name, folder, limits=SMALL, on_bytes=lambda done: None)
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == [archive]


@pytest.mark.parametrize("case", ["zip bomb", "many files", "symbolic link", "tar bomb", "tar far end"])
def test_it_is_refused_before_unpacking(case: str, tmp_path: Path) -> None:
    name, build, reason = HOSTILE[case]
    archive = tmp_path / "upload.part"
    archive.write_bytes(build())
    with pytest.raises(UnsafeUpload, match=reason):
        plan(archive, name, SMALL)


@pytest.mark.parametrize("name", ["v1.zip", "v1.tar.gz", "v1.tar"])
def test_an_honest_archive_unpacks_with_the_folder_around_it_taken_off(name: str, tmp_path: Path) -> None:
    members = {"v1/config.json": b"{}", "v1/1_Pooling/config.json": b'{"a": 1}', "v1/model.safetensors": b"w" * 3000}
    if name.endswith(".zip"):
        raw = zip_of({**members, "__MACOSX/v1/._config.json": b"litter"})
    else:
        entries = [plain(path, content) for path, content in members.items()]
        raw = tar_of([special("v1", tarfile.DIRTYPE, ""), *entries], zipped=name.endswith("gz"))
    archive, folder = tmp_path / "upload.part", tmp_path / "folder"
    archive.write_bytes(raw)
    folder.mkdir()
    seen: list[int] = []
    files = {file.path: file for file in unpack(archive, name, folder, limits=LIMITS, on_bytes=seen.append)}
    assert set(files) == {"config.json", "1_Pooling/config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"w" * 3000
    assert files["model.safetensors"].size_bytes == 3000
    assert seen[-1] == 3010


def test_a_single_file_stays_one_file_even_when_it_is_a_zip_inside(tmp_path: Path) -> None:
    archive, folder = tmp_path / "upload.part", tmp_path / "folder"
    archive.write_bytes(zip_of({"archive/data.pkl": b"x"}))
    folder.mkdir()
    (file,) = unpack(archive, "model.pt2", folder, on_bytes=lambda done: None)
    assert file.path == "model.pt2"
    assert (folder / "model.pt2").read_bytes() == archive.read_bytes()
