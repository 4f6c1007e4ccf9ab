import msgspec
from support.versions import make_model, make_version

from inference.policy.hints import in_force, is_unloaded, list_unloaded, next_hint
from inference.policy.wanted import list_in_force, list_wanted
from inference.spec import Hint
from inference.status import Effective
from inference.sync.documents import Documents, accept

MODEL = make_model("tiny", make_version(1), make_version(2))


def wish(loaded: bool, held: Hint | None = None, now_s: float = 1.0) -> Hint:
    return next_hint(MODEL, held, loaded, by="k1", now_s=now_s)


def replicas(hint: Hint | None) -> dict[int, int]:
    wanted = list_wanted([MODEL], {}, "default", {"tiny": hint} if hint else {})
    return {one.version.number: one.replicas for one in wanted}


def test_unloading_takes_every_replica_and_loading_wants_one_of_each_version() -> None:
    assert replicas(wish(loaded=False)) == {1: 0, 2: 0}
    assert replicas(wish(loaded=True)) == {1: 1, 2: 1}


def test_an_unloaded_version_is_not_kept_for_its_traffic() -> None:
    effective = Effective(name="tiny", epoch=MODEL.epoch, generation=1, fence=1, weights=MODEL.traffic.weights)
    hint = wish(loaded=False)
    assert list_in_force([effective])
    assert not list_in_force([effective], list_unloaded([MODEL], {"tiny": hint}))


def test_a_hint_ends_with_the_next_generation_of_the_spec() -> None:
    hint = wish(loaded=False)
    assert is_unloaded(MODEL, hint)
    changed = msgspec.structs.replace(MODEL, generation=MODEL.generation + 1)
    assert in_force(changed, hint) is None
    assert not is_unloaded(msgspec.structs.replace(MODEL, epoch="restored"), hint)
    assert not is_unloaded(MODEL, None)


def test_the_later_wish_wins_whoever_hears_of_it_first() -> None:
    first = wish(loaded=False)
    second = wish(loaded=True, held=first, now_s=0.5)
    assert second.generation > first.generation
    documents = accept(Documents(), "hint", second)
    assert documents is not None
    assert accept(documents, "hint", first) is None
    assert documents.hints == {"tiny": second}


def test_a_hint_is_no_news_of_the_console() -> None:
    documents = accept(Documents(), "hint", wish(loaded=False))
    assert documents is not None
    assert documents.generations() == {}
