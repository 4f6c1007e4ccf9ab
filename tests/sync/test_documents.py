"""What is newer is taken, what is older never is, and a reader's value never changes under it."""

import pytest

from inference.errors import BadDocument
from inference.spec import KeysSpec, encode
from inference.status import Effective
from inference.sync.documents import Documents, accept, accept_all, read_document


@pytest.mark.parametrize(
    "epoch, generation, taken",
    [("e1", 4, False), ("e1", 5, False), ("e1", 6, True), ("e2", 1, True)],
    ids=["older", "same", "newer", "restored database"],
)
def test_a_spec_is_taken_when_its_generation_rises_or_its_epoch_changes(model, epoch, generation, taken):
    held = accept(Documents(), "spec", model(5))

    assert (accept(held, "spec", model(generation, epoch=epoch)) is not None) is taken


@pytest.mark.parametrize("fence, revision, taken", [(1, 99, False), (2, 3, False), (2, 4, True), (3, 0, True)], ids=str)
def test_a_controllers_document_is_taken_by_fence_then_revision(fence, revision, taken):
    held = accept(Documents(), "effective", Effective(name="m", epoch="e", generation=1, fence=2, revision=3))
    offered = Effective(name="m", epoch="e", generation=9, fence=fence, revision=revision)

    assert (accept(held, "effective", offered) is not None) is taken


def test_a_deleted_model_is_gone_and_older_news_of_it_does_not_bring_it_back(model):
    live = accept(Documents(), "spec", model(1))
    deleted = accept(live, "spec", model(2, deleted=True))

    assert "m" not in deleted.models
    assert accept(deleted, "spec", model(1)) is None
    assert accept(deleted, "spec", model(3)).models["m"].generation == 3


def test_taking_a_document_leaves_the_value_that_readers_hold_as_it_was(model):
    before = accept(Documents(), "spec", model(1))
    after = accept(before, "spec", model(2))

    assert (before.models["m"].generation, after.models["m"].generation) == (1, 2)


def test_of_many_changes_at_once_only_the_newest_of_each_stays(model):
    changes = [("spec", "m", model(n)) for n in (1, 3, 2)] + [("keys", "all", KeysSpec(epoch="e", generation=1))]

    documents, taken = accept_all(Documents(), changes)

    assert [document.generation for _, _, document in taken] == [1, 3, 1]
    assert documents.generations() == {"spec/m": ("e1", 3), "keys/all": ("e", 1)}


@pytest.mark.parametrize(
    "kind, raw",
    [("spec", b"{"), ("spec", b'{"name":"m","epoch":"e","generation":1,"colour":"red"}'), ("sky", b"{}")],
    ids=["no JSON", "unknown field", "unknown kind"],
)
def test_what_is_not_a_document_is_refused(kind, raw):
    with pytest.raises(BadDocument):
        read_document(kind, "m", raw)


def test_a_document_under_anothers_name_is_refused(model):
    with pytest.raises(BadDocument, match="says that it is 'm'"):
        read_document("spec", "other", encode(model(1)))
