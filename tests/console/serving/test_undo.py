"""After an act that can be undone the next page offers the way back, and it undoes that act alone."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from console.accounts.models import User
from console.lib.actors import SYSTEM
from console.registry.selectors import get_alias, stable_version
from console.registry.services import set_alias
from console.serving.models import LivePin
from console.serving.selectors import traffic_of
from console.serving.services import keep_loaded, set_stable_version, set_traffic

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    client = Client()
    client.force_login(User.objects.create_user("olga", role="operator"))
    return client


def press_undo(client, answer):
    """Post the form of the toast as a browser without script would."""
    page = client.get(answer.url).content.decode()
    toast = page[page.index('id="toasts"') :]
    form = re.search(r'<form method="post" action="([^"]*)">(.*?)Undo</button>', toast, re.S)
    assert form, "the toast offers Undo"
    fields = dict(re.findall(r'name="([^"]*)" value="([^"]*)"', form[2]))
    return client.post(form[1], fields)


def offers_undo(client, answer):
    return "Undo</button>" in client.get(answer.url).content.decode()


def split_of(model):
    return {weight.version.number: weight.percent for weight in traffic_of(model).weights}


@pytest.fixture
def two(model, make_version):
    first, second = make_version(model), make_version(model)
    set_stable_version(model=model, to=first, seen=0, actor=SYSTEM)
    return first, second


def make_stable(client, version):
    seen = traffic_of(version.model).row_version
    return client.post(reverse("set_stable", args=[version.model.name, version.number]), {"seen": seen})


def test_a_stable_version_goes_back_to_the_one_before(client, model, two):
    press_undo(client, make_stable(client, two[1]))
    assert split_of(model) == {1: 100}
    assert stable_version(model) == two[0]


def test_a_split_is_given_back_with_its_assignment(client, model, two):
    seen = traffic_of(model).row_version
    fields = {"w1": 62.5, "w2": 37.5, "seen": seen, "assignment": "key"}
    press_undo(client, client.post(reverse("set_traffic", args=[model.name]), fields))
    assert (split_of(model), traffic_of(model).assignment) == ({1: 100}, "request")


def test_a_stable_version_that_ended_a_split_offers_no_half_way_back(client, model, two):
    set_traffic(model=model, weights={1: 50, 2: 50}, seen=traffic_of(model).row_version, actor=SYSTEM)
    assert not offers_undo(client, make_stable(client, two[1]))


def test_an_unloaded_version_is_loaded_again(client, model, two):
    keep_loaded(version=two[1], actor=SYSTEM)
    press_undo(client, client.post(reverse("unload_version", args=[model.name, 2])))
    assert LivePin.objects.filter(version=two[1]).exists()


def test_what_was_not_kept_loaded_is_not_loaded_by_undo(client, model, two):
    assert not offers_undo(client, client.post(reverse("unload_version", args=[model.name, 2])))


def test_an_alias_moves_back(client, model, two):
    alias = set_alias(model=model, name="blue", to=two[0], seen=0, actor=SYSTEM)
    fields = {"name": "blue", "version": 2, "seen": alias.row_version}
    press_undo(client, client.post(reverse("place_alias", args=[model.name]), fields))
    assert get_alias(model, "blue").version == two[0]


def test_a_new_alias_goes_and_a_removed_one_returns(client, model, two):
    made = client.post(reverse("place_alias", args=[model.name]), {"name": "blue", "version": 2})
    removed = press_undo(client, made)
    assert not model.aliases.filter(name="blue").exists()
    press_undo(client, removed)
    assert get_alias(model, "blue").version == two[1]


def test_undo_after_another_change_is_refused(client, model, two):
    done = make_stable(client, two[1])
    set_traffic(model=model, weights={1: 50, 2: 50}, seen=traffic_of(model).row_version, actor=SYSTEM)
    refused = press_undo(client, done)
    assert "changed meanwhile" in client.get(refused.url).content.decode()
    assert split_of(model) == {1: 50, 2: 50}
