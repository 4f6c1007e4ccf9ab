"""The last good copy: whole, never older, and no bad file stops a start."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.spec import encode
from inference.sync.files import DocumentFolder


def test_what_was_written_is_there_after_a_restart(tmp_path, model):
    DocumentFolder(tmp_path).write("spec", "m", model(3))

    assert DocumentFolder(tmp_path).load() == [("spec", "m", model(3))]


def test_an_older_document_does_not_overwrite_a_newer_file(tmp_path, model):
    folder = DocumentFolder(tmp_path)
    assert folder.write("spec", "m", model(3))

    assert not folder.write("spec", "m", model(2))
    assert DocumentFolder(tmp_path).load() == [("spec", "m", model(3))]


def test_many_programs_that_write_at_once_leave_the_newest(tmp_path, model):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: DocumentFolder(tmp_path).write("spec", "m", model(n)), range(60)))

    assert DocumentFolder(tmp_path).load() == [("spec", "m", model(59))]
    assert [path.name for path in (tmp_path / "spec").iterdir()] == ["m.json"]


@pytest.mark.parametrize("content", [b"", b'{"name": "m", "ep', b"\x00\xff" * 100], ids=["empty", "cut off", "noise"])
def test_a_corrupt_file_is_set_aside_and_the_rest_is_loaded(tmp_path, model, content):
    DocumentFolder(tmp_path).write("spec", "good", model(1, name="good"))
    (tmp_path / "spec" / "m.json").write_bytes(content)

    assert DocumentFolder(tmp_path).load() == [("spec", "good", model(1, name="good"))]
    assert (tmp_path / "spec" / "m.json.bad").read_bytes() == content
    assert DocumentFolder(tmp_path).write("spec", "m", model(1))


def test_changes_tells_what_others_wrote_and_not_what_we_did(tmp_path, model):
    ours, theirs = DocumentFolder(tmp_path), DocumentFolder(tmp_path)
    assert ours.load() == []

    ours.write("spec", "m", model(1))
    assert ours.changes() == []
    theirs.write("spec", "m", model(2))

    assert ours.changes() == [("spec", "m", model(2))]
    assert ours.changes() == []


def test_a_key_with_slashes_stays_inside_the_folder(tmp_path):
    from inference.spec import Intent, IntentAction

    intent = Intent(rollout="../../x", epoch="e", generation=1, action=IntentAction.RUN, by="ana")
    DocumentFolder(tmp_path / "documents").write("intent", "../../x", intent)

    assert DocumentFolder(tmp_path / "documents").load() == [("intent", "../../x", intent)]
    assert not (tmp_path / "x.json").exists()


def test_files_are_for_their_owner_only(tmp_path, model):
    DocumentFolder(tmp_path).write("spec", "m", model(1))

    assert (tmp_path / "spec" / "m.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spec" / "m.json").read_bytes() == encode(model(1))
