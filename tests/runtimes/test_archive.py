"""torch's archives: whatever reads differently to two readers, or would run code, is refused before torch opens it."""

import io
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.errors import ArtifactError, CorruptArtifact, UnsafeArtifact
from inference.runtimes.archive import check_checksums, check_exported, check_script, drop_samples, open_archive
from inference.runtimes.exported import open_program
from inference.runtimes.pickles import check_pickle
from inference.spec import Format


class Bomb:
    """Unpickling it makes the file that `path` names."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def write_zip(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def change_member(path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the archive with `change` applied to the member that ends with `name`; a new one if there is none."""
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    if not any(member.endswith(name) for member, _ in members):
        members.append((members[0][0].partition("/")[0] + "/" + name, b""))
    write_zip(path, [(m, change(content) if m.endswith(name) else content) for m, content in members])


@pytest.fixture
def program(formats: Any, tmp_path: Path) -> Path:
    return Path(shutil.copy(formats.folders[Format.PT2] / "model.pt2", tmp_path))


@pytest.fixture
def script(formats: Any, tmp_path: Path) -> Path:
    return Path(shutil.copy(formats.folders[Format.TORCHSCRIPT] / "model.pt", tmp_path))


def test_what_torch_writes_is_taken(program: Path, script: Path) -> None:
    assert check_exported(program) is True  # sample inputs are inside
    check_script(script)
    check_checksums(program)
    check_checksums(script)


@pytest.mark.parametrize(
    "name", ["/etc/x", "m/../../x", "m/./x", "m//x", "m\\x", "c:x", "m/a\x01b", "m/" + "n" * 600], ids=repr
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "a.pt2", [("m/version", b"3"), (name, b"x")])
    with pytest.raises(UnsafeArtifact):
        open_archive(path)


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("m/data/weights/weight_0")
    link.external_attr = 0o120777 << 16
    with pytest.raises(UnsafeArtifact, match="link"):
        open_archive(write_zip(tmp_path / "a.pt2", [(link, b"/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["m/version", "m/VERSION"])
def test_members_that_are_there_twice_are_refused(tmp_path: Path, second: str) -> None:
    with pytest.raises(UnsafeArtifact, match="twice"):
        open_archive(write_zip(tmp_path / "a.pt2", [("m/version", b"3"), (second, b"4")]))


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pt2", [("m/models/model.json", b"\0" * 50_000_000)], zipfile.ZIP_DEFLATED)
    with pytest.raises(UnsafeArtifact, match="100 times"):
        open_archive(path)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pt2", [(f"m/extra/{index}", b"") for index in range(10_001)])
    with pytest.raises(UnsafeArtifact, match="10001 members"):
        open_archive(path)


@pytest.mark.parametrize(
    "field, width, value",
    [(8, 2, 8), (14, 4, 1), (18, 4, 1), (22, 4, 9), (30, 1, ord("X")), (6, 2, 1)],
    ids=["method", "checksum", "packed size", "size", "name", "encrypted"],
)
def test_a_header_that_contradicts_the_directory_is_refused(tmp_path: Path, field: int, width: int, value: int) -> None:
    path = write_zip(tmp_path / "a.pt2", [("m/version", b"content")])
    content = bytearray(path.read_bytes())
    content[field : field + width] = value.to_bytes(width, "little")
    path.write_bytes(content)
    with pytest.raises(UnsafeArtifact):
        open_archive(path)


@pytest.mark.parametrize("change", [lambda c: c + b"more", lambda c: b"#!/bin/sh\n" + c], ids=["behind", "in front"])
def test_bytes_around_the_archive_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = write_zip(tmp_path / "a.pt2", [("m/version", b"content")])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ArtifactError):
        open_archive(path)


def test_two_members_on_the_same_bytes_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pt2", [("m/version", b"a" * 90), ("m/byteord", b"b" * 90)])
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")  # the second entry of the directory
    content[second + 42 : second + 46] = struct.pack("<I", 0)  # says that it lies where the first does
    path.write_bytes(content)
    with pytest.raises(UnsafeArtifact):
        open_archive(path)


def test_a_flipped_bit_is_found_at_import(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        weight = next(m for m in archive.infolist() if m.filename.endswith("weight_1") and m.file_size > 100)
    content = bytearray(program.read_bytes())
    content[weight.header_offset + 30 + len(weight.filename) + 100] ^= 0x10
    program.write_bytes(content)
    with pytest.raises(CorruptArtifact, match="damaged"):
        check_checksums(program)


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/x.so",
        "data/aotinductor/model/x.cpp",
        "data/constants/custom_obj_0",
        "x.cubin",
        "data.pkl",
    ],
)
def test_native_code_and_unknown_kinds_are_refused(program: Path, name: str) -> None:
    change_member(program, name, lambda _: b"\x7fELF")
    with pytest.raises(UnsafeArtifact, match="native code or of a kind"):
        check_exported(program)


def test_weights_stored_as_pickles_are_refused(program: Path) -> None:
    change_member(
        program, "model_weights_config.json", lambda c: c.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
    )
    with pytest.raises(UnsafeArtifact, match="use_pickle"):
        check_exported(program)


def test_a_payload_that_hides_how_it_is_stored_is_refused(program: Path) -> None:
    said = b'"use_pickle": false,'
    change_member(program, "model_weights_config.json", lambda content: content.replace(said, b"", 1))
    with pytest.raises(UnsafeArtifact, match="use_pickle"):
        check_exported(program)


def test_sample_inputs_are_dropped_and_never_unpickled(program: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    change_member(program, "sample_inputs/model.pt", lambda _: pickle.dumps(Bomb(proof)))
    loaded = open_program(program)
    assert list(loaded.graph_signature.user_inputs) == ["pixel_values"]
    drop_samples(program, program)
    assert check_exported(program) is False
    open_program(program)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["data.pkl", "constants.pkl", "traced_inputs.pkl"])
def test_a_script_whose_pickles_import_more_than_tensors_need_is_refused(
    script: Path, tmp_path: Path, name: str
) -> None:
    change_member(script, name, lambda _: pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
    with pytest.raises(UnsafeArtifact, match="imports"):
        check_script(script)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "module, name",
    [("os", "system"), ("builtins", "eval"), ("posix", "system"), ("torch", "load"), ("torch.hub", "load"),
     ("numpy", "load"), ("torch.jit._pickle", "run"), ("torch.utils._config_module", "ConfigModule.load_config"),
     ("__torch__x", "y"), ("builtins", "getattr"), ("torch.storage", "_load_from_bytes"), ("operator", "attrgetter")],
)  # fmt: skip
def test_names_outside_the_allowlist_are_refused(module: str, name: str) -> None:
    for script in (False, True):
        with pytest.raises(UnsafeArtifact, match="imports"):
            check_pickle(b"\x80\x02" + f"c{module}\n{name}\n.".encode(), "x", script=script)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"(ios\nsystem\n.",  # INST
        b"\x82\x01.",  # EXT1
        b"Px\n.",  # PERSID
        b"\x80\x02}",  # no end
        b"\xff\xff",
        b"",
    ],
)
def test_other_ways_to_a_class_and_broken_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(UnsafeArtifact):
        check_pickle(content, "x")


def test_the_pickle_of_a_tensor_is_taken() -> None:
    import torch

    file = io.BytesIO()
    torch.save({"weight": torch.nn.Parameter(torch.ones(3)), "bits": torch.zeros(2, dtype=torch.bfloat16)}, file)
    with zipfile.ZipFile(file) as archive:
        check_pickle(archive.read("archive/data.pkl"), "x")


def test_a_fifo_is_no_archive(tmp_path: Path) -> None:
    from inference.runtimes.folder import list_files

    os.mkfifo(tmp_path / "model.pt2")
    with pytest.raises(UnsafeArtifact, match="device"):
        list_files(tmp_path, Format.PT2)
