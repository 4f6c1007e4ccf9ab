"""API keys: what one may do with them, and how soon gateways know."""

from datetime import timedelta

import msgspec
import pytest
import redis
from django.utils import timezone

from console.accounts.models import ApiKey, AuditEvent
from console.accounts.publish import build_keys
from console.accounts.services import (
    console_key,
    create_api_key,
    deactivate_user,
    note_key_use,
    revoke_api_key,
    rotate_api_key,
    set_password,
    update_api_key,
    update_user,
)
from console.accounts.services.keys import hash_secret
from console.lib.errors import Invalid, InvalidTransition, NotAllowed, StaleWrite
from console.lib.outbox import Stamp
from inference import spec

pytestmark = pytest.mark.django_db


def published_keys():
    return {key.sha256: key for key in build_keys("all", Stamp("e", 1)).keys}


def test_a_key_is_kept_as_its_hash_alone(operator):
    key, secret = create_api_key(actor=operator, name="ci", scopes=["infer"])
    assert secret.startswith(f"sy_{key.prefix}_")
    assert len(secret) == 3 + 8 + 1 + 43
    assert secret not in str(vars(ApiKey.objects.get())) + str(list(AuditEvent.objects.values()))
    assert ApiKey.objects.get().sha256 == hash_secret(secret)


@pytest.mark.django_db(transaction=True)
def test_a_new_key_is_in_redis_at_once_and_a_revoked_one_is_gone(valkey, operator):
    key, secret = create_api_key(actor=operator, name="ci", scopes=["infer"], models=["minilm"])
    with redis.Redis.from_url(valkey) as client:
        (found,) = [known for known in read_keys(client) if known.sha256 == hash_secret(secret)]
        assert (found.name, found.scopes, found.models) == ("ci", ("infer",), ("minilm",))
        revoke_api_key(actor=operator, key=key)
        assert hash_secret(secret) not in {known.sha256 for known in read_keys(client)}


def read_keys(client):
    raw = client.hget(spec.DOCUMENTS.format(kind="keys"), spec.KEYS_NAME)
    return msgspec.json.decode(raw, type=spec.KeysSpec).keys


def test_nobody_gives_a_key_more_than_they_may_do(viewer, operator, admin):
    with pytest.raises(NotAllowed, match="operate"):
        create_api_key(actor=viewer, name="x", scopes=["operate"])
    with pytest.raises(NotAllowed, match="admin"):
        create_api_key(actor=operator, name="x", scopes=["admin"])
    with pytest.raises(NotAllowed, match="for others"):
        create_api_key(actor=operator, name="x", scopes=["read"], owner=viewer)
    assert create_api_key(actor=admin, name="x", scopes=["admin"], owner=admin).key.rights >= {"read", "admin"}


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"name": " "}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["root"]}, "/scopes"),
        ({"models": ["No Such Name"]}, "/models"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "/expires_at"),
    ],
)
def test_a_key_that_cannot_be_right_is_refused_by_field(operator, wrong, field):
    with pytest.raises(Invalid) as refused:
        create_api_key(actor=operator, **({"name": "ci", "scopes": ["infer"]} | wrong))
    assert refused.value.faults[0].pointer == field


def test_a_key_never_outranks_its_owner(operator, admin):
    key, secret = create_api_key(actor=operator, name="ci", scopes=["infer", "operate"])
    assert published_keys()[hash_secret(secret)].scopes == ("infer", "operate")
    demoted = update_user(actor=admin, user=operator, seen=operator.row_version, role="viewer")
    key.refresh_from_db()
    assert "operate" not in key.rights
    assert published_keys()[hash_secret(secret)].scopes == ("infer",)
    deactivate_user(actor=admin, user=demoted, seen=demoted.row_version)
    assert hash_secret(secret) not in published_keys()


def test_gateways_get_the_scope_admin_spelt_out(admin, make_user):
    other = make_user("olga", "admin")
    _, secret = create_api_key(actor=other, name="root", scopes=["admin"])
    assert published_keys()[hash_secret(secret)].scopes == ("read", "infer", "operate", "rollout", "admin")
    update_user(actor=admin, user=other, seen=other.row_version, role="operator")
    assert published_keys()[hash_secret(secret)].scopes == ("read", "infer", "operate")


def test_rotation_leaves_the_old_key_its_overlap(operator):
    key, old = create_api_key(actor=operator, name="ci", scopes=["infer"], models=["minilm"])
    _, new = rotate_api_key(actor=operator, key=key, overlap=timedelta(hours=1))
    known = published_keys()
    assert {hash_secret(old), hash_secret(new)} <= set(known)
    assert known[hash_secret(new)].models == ("minilm",)
    ends_s = known[hash_secret(old)].expires_at_s - timezone.now().timestamp()
    assert 3590 < ends_s <= 3600
    with pytest.raises(InvalidTransition, match="rotated already"):
        rotate_api_key(actor=operator, key=key)
    key, old = create_api_key(actor=operator, name="now", scopes=["infer"])
    rotate_api_key(actor=operator, key=key, overlap=timedelta(0))
    assert hash_secret(old) not in published_keys()


def test_a_change_based_on_an_old_state_is_refused(operator):
    key = create_api_key(actor=operator, name="ci", scopes=["infer"]).key
    update_api_key(actor=operator, key=key, seen=1, name="build")
    with pytest.raises(StaleWrite):
        update_api_key(actor=operator, key=key, seen=1, name="other")
    assert ApiKey.objects.get().name == "build"
    assert ApiKey.objects.get().allowed_models is None, "what was not given stays"


def test_others_keys_are_not_mine_to_touch(viewer, operator):
    key = create_api_key(actor=operator, name="ci", scopes=["infer"]).key
    with pytest.raises(NotAllowed, match="belongs to omar"):
        revoke_api_key(actor=viewer, key=key)


def test_a_key_cannot_prolong_itself(operator, admin):
    key = create_api_key(actor=operator, name="ci", scopes=["infer", "operate"]).key
    for attempt in (
        lambda: create_api_key(actor=key, name="heir", scopes=["infer"]),
        lambda: rotate_api_key(actor=key, key=key),
        lambda: set_password(actor=key, user=operator, password="another long secret"),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    root = create_api_key(actor=admin, name="provisioning", scopes=["admin"]).key
    assert create_api_key(actor=root, name="client", scopes=["infer"], owner=operator).key.owner == operator


def test_use_is_noted_at_most_once_a_minute(operator, django_assert_num_queries):
    key = create_api_key(actor=operator, name="ci", scopes=["read"]).key
    note_key_use(key)
    key.refresh_from_db()
    assert key.last_used_at
    with django_assert_num_queries(0):
        note_key_use(key)


def test_the_consoles_own_key_is_known_to_gateways_today_and_across_midnight(db):
    known = published_keys()
    now = timezone.now()
    assert known[hash_secret(console_key())].scopes == ("infer",)
    assert hash_secret(console_key(now + timedelta(days=1))) in known
    assert hash_secret(console_key(now + timedelta(days=3))) not in known
    assert not ApiKey.objects.exists(), "it is derived, not stored"
