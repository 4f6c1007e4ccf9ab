"""Traffic as track: stable runs straight whatever its share, and the thickness is the share."""

import pytest

from console.registry.models import Version
from console.serving.selectors import TrafficView, WeightRow
from console.serving.templatetags.traffic import split, turnout


def versions(*numbers):
    return [Version(pk=number, number=number) for number in numbers]


def test_stable_runs_straight_even_when_it_has_the_smaller_share():
    one, two = versions(1, 2)
    view = TrafficView((WeightRow(two, 75.0), WeightRow(one, 25.0)), "request", 1, "")
    drawn = turnout(view, one)["branches"]
    assert [(branch.version.number, branch.role) for branch in drawn] == [(1, "stable"), (2, "canary")]
    assert drawn[0].path == "M2 32H100"
    assert drawn[1].stroke == pytest.approx(3 * drawn[0].stroke)


def test_a_split_without_a_stable_version_has_none():
    one, two = versions(1, 2)
    parts = split((WeightRow(one, 60.0), WeightRow(two, 40.0)), None)
    assert [(part["x"], part["width"], part["role"]) for part in parts] == [
        (0.0, 60.0, "canary"),
        (60.0, 40.0, "canary"),
    ]


def test_the_drawing_changes_its_key_when_it_says_something_else():
    (one,) = versions(1)
    view = TrafficView((WeightRow(one, 100.0),), "request", 1, "")
    assert turnout(view, one)["key"] != turnout(view, None)["key"]
    assert turnout(view, one)["key"] == turnout(view, one)["key"]
