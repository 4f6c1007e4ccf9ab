"""Followers of a folder hear of each change, and look at everything only when they may have missed one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.sync import files, journal
from inference.sync.files import DocumentFolder


@pytest.fixture
def looked_at(monkeypatch):
    """The names of the files that a look compared, one list a look."""
    looks = []
    stamp_of = files.stamp_of
    monkeypatch.setattr(files, "stamp_of", lambda stat: looks.append(stat.st_ino) or stamp_of(stat))
    return looks


@pytest.fixture
def pair(tmp_path, model):
    """A writer and a follower of a folder that holds fifty documents."""
    ours, theirs = DocumentFolder(tmp_path), DocumentFolder(tmp_path)
    for number in range(50):
        theirs.write("spec", f"m{number}", model(1, name=f"m{number}"))
    assert len(ours.load()) == 50
    return ours, theirs


def test_a_change_among_many_costs_a_look_at_that_one(pair, model, looked_at):
    ours, theirs = pair
    theirs.write("spec", "m7", model(2, name="m7"))
    looked_at.clear()

    assert ours.changes() == [("spec", "m7", model(2, name="m7"))]
    assert len(looked_at) == 1
    assert ours.changes() == []
    assert len(looked_at) == 1


def test_nothing_is_missed_while_many_write_and_one_follows(tmp_path, model):
    follower, heard = DocumentFolder(tmp_path), []
    follower.load()

    def write(number: int) -> None:
        DocumentFolder(tmp_path).write("spec", f"m{number % 7}", model(number, name=f"m{number % 7}"))

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(120)]
        while not all(one.done() for one in writing):
            heard += follower.changes()
    heard += follower.changes()

    newest = {key: document.generation for _, key, document in heard}
    assert newest == {key: document.generation for _, key, document in DocumentFolder(tmp_path).load()}


def test_a_journal_that_grew_too_long_is_begun_anew_and_hides_nothing(pair, model, monkeypatch):
    ours, theirs = pair
    monkeypatch.setattr(journal, "MAX_BYTES", 200)
    for generation in range(2, 40):
        theirs.write("spec", "m1", model(generation, name="m1"))

    assert ours.changes() == [("spec", "m1", model(39, name="m1"))]
    assert ours.journal.path.stat().st_size < 300


@pytest.mark.parametrize("content", [None, b"", b"journal", b"journal 7\nspec/m1.json\n", b"\x00\xff" * 99])
def test_a_journal_that_is_lost_or_not_ours_makes_followers_look(pair, model, content):
    ours, theirs = pair
    path = ours.journal.path
    path.unlink()
    theirs.write("spec", "m1", model(2, name="m1"))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    assert ours.changes() == [("spec", "m1", model(2, name="m1"))]
    theirs.write("spec", "m2", model(2, name="m2"))
    assert ours.changes() == [("spec", "m2", model(2, name="m2"))]


def test_a_line_of_nothing_we_know_is_passed_over(pair, model, tmp_path):
    ours, theirs = pair
    outside = tmp_path / "outside.json"
    outside.write_text("not a document")
    with ours.journal.path.open("ab") as file:
        file.write(b"nonsense\nspec/../outside.json\nnone/m1.json\nspec/gone.json\n")
    theirs.write("spec", "m3", model(2, name="m3"))

    assert ours.changes() == [("spec", "m3", model(2, name="m3"))]
    assert outside.read_text() == "not a document"


def test_a_disk_without_room_for_a_line_hides_no_change(pair, model, monkeypatch):
    ours, theirs = pair
    write = journal.os.write

    def full(fd: int, line: bytes) -> int:
        if line.startswith(b"spec/"):
            raise OSError(28, "No space left on device")
        return write(fd, line)

    monkeypatch.setattr(journal.os, "write", full)
    theirs.write("spec", "m1", model(2, name="m1"))
    theirs.write("spec", "m2", model(2, name="m2"))

    assert sorted(key for _, key, _ in ours.changes()) == ["m1", "m2"]


def test_a_folder_that_is_not_there_yet_is_followed_once_it_is(tmp_path, model):
    follower = DocumentFolder(tmp_path / "later")
    assert follower.load() == []

    DocumentFolder(tmp_path / "later").write("spec", "m", model(1))

    assert follower.changes() == [("spec", "m", model(1))]
