"""Numbers carry a unit and no digit too many; what was not measured is a dash, never a zero."""

from datetime import timedelta

import pytest
from django.template import Context, Template
from django.utils import timezone

from console.lib.templatetags import units


@pytest.mark.parametrize(
    "number, said",
    [
        (0, "0"),
        (0.004, "0.004"),
        (0.384, "0.38"),
        (1.5, "1.50"),
        (3.0, "3"),
        (41.83, "41.8"),
        (999.7, "1,000"),
        (12_345, "12,345"),
    ],
)
def test_three_digits_are_enough(number, said):
    assert units.spell_number(number) == said


@pytest.mark.parametrize(
    "size, said", [(0, "0B"), (999, "999B"), (1_000, "1kB"), (91_300_000, "91.3MB"), (21_474_836_480, "21.5GB")]
)
def test_bytes_in_decimal_units(size, said):
    assert units.as_bytes(size).replace('<span class="u">', "").replace("</span>", "") == said


@pytest.mark.parametrize(
    "filter_name", ["as_bytes", "as_ms", "as_seconds", "as_percent", "as_count", "as_number", "ago", "at"]
)
@pytest.mark.parametrize("absent", [None, ""])
def test_what_was_not_measured_is_a_dash(filter_name, absent):
    assert getattr(units, filter_name)(absent) == units.UNKNOWN


def test_an_attribute_of_nothing_is_a_dash_too():
    page = Template("{% load units %}{{ version.artifact.size_bytes|as_bytes }}")
    assert page.render(Context({"version": None})) == units.UNKNOWN


@pytest.mark.parametrize(
    "seconds, said", [(5, "5 s ago"), (65, "1 min ago"), (7_300, "2 h ago"), (200_000, "2 d ago"), (-90, "in 1 min")]
)
def test_an_age_is_its_largest_whole_unit(seconds, said):
    assert f">{said}</time>" in units.ago(timezone.now() - timedelta(seconds=seconds + 0.5))
