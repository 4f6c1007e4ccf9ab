import hashlib

import pytest

from inference.errors import BadKey, MissingKey, ModelNotAllowed, ScopeMissing
from inference.gateway.keys import KeyTable, may_call, require_model, require_scope
from inference.gateway.quarantine import MOST, QUARANTINE_S, Quarantine, digest_inputs
from inference.protocol.messages import Tensor
from inference.spec import ApiKey, KeysSpec


def key(text: str = "sy_a", *scopes: str, **more: object) -> ApiKey:
    return ApiKey(id="1", name="n", sha256=hashlib.sha256(text.encode()).hexdigest(), scopes=scopes, **more)


KEYS = (key("sy_a", "infer"), key("sy_old", "infer", expires_at_s=100))
TABLE = KeyTable(KeysSpec(epoch="e", generation=1, keys=KEYS))


@pytest.mark.parametrize("header", [b"Bearer sy_a", b"bearer sy_a", b"BEARER  sy_a "])
def test_a_known_key_is_let_in(header: bytes) -> None:
    assert TABLE.authenticate(header, 50.0).scopes == ("infer",)


@pytest.mark.parametrize("header, error", [
    (None, MissingKey), (b"", MissingKey), (b"Basic sy_a", MissingKey), (b"Bearer", MissingKey), (b"Bearer ", BadKey),
    (b"Bearer sy_b", BadKey), (b"Bearer sy_old", BadKey), (b"Bearer \xff", BadKey),
])  # fmt: skip
def test_others_are_not(header: bytes | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        TABLE.authenticate(header, 100.0)


def test_a_key_lives_until_it_expires() -> None:
    assert TABLE.authenticate(b"Bearer sy_old", 99.9)


def test_without_a_document_nobody_is_let_in() -> None:
    with pytest.raises(BadKey):
        KeyTable().authenticate(b"Bearer sy_a", 0.0)


def test_scopes_and_models() -> None:
    require_scope(key("x", "read"), "infer", "read")
    require_scope(key("x", "admin"), "infer")
    with pytest.raises(ScopeMissing, match="infer"):
        require_scope(key("x", "read"), "infer")
    assert may_call(key("x"), "any")
    require_model(key("x", models=("a",)), "a")
    with pytest.raises(ModelNotAllowed, match="'b'"):
        require_model(key("x", models=("a",)), "b")


def test_a_quarantine_ends_and_is_bounded() -> None:
    quarantine = Quarantine()
    assert not quarantine
    quarantine.add(b"x", 0.0)
    assert quarantine.left_s(b"x", 1.0) == QUARANTINE_S - 1
    assert quarantine.left_s(b"y", 1.0) == 0
    assert quarantine.left_s(b"x", QUARANTINE_S) == 0
    assert not quarantine
    for number in range(MOST + 5):
        quarantine.add(b"%d" % number, 0.0)
    assert len(quarantine.until_s) == MOST
    assert quarantine.left_s(b"%d" % MOST, 1.0)


def test_the_same_input_has_the_same_digest_and_no_other() -> None:
    tensor = Tensor("x", "FP32", (1, 2), b"12345678")
    others = [
        ("m/1/u", Tensor("y", "FP32", (1, 2), b"12345678")), ("m/1/u", Tensor("x", "INT32", (1, 2), b"12345678")),
        ("m/1/u", Tensor("x", "FP32", (2, 1), b"12345678")), ("m/1/u", Tensor("x", "FP32", (1, 2), b"12345679")),
        ("m/2/u", tensor),
    ]  # fmt: skip
    own = digest_inputs("m/1/u", [tensor])
    assert own == digest_inputs("m/1/u", [Tensor("x", "FP32", (1, 2), memoryview(b"12345678"))])
    assert own not in [digest_inputs(unit, [other]) for unit, other in others]
