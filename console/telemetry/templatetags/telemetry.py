"""Small words of the telemetry pages."""

from django import template
from django.utils.safestring import SafeString

from console.lib.templatetags.units import UNKNOWN, spell_number, with_unit
from console.telemetry.dashboards import Dashboard, Panel

register = template.Library()


@register.filter
def number(value: float | None, unit: str = "") -> SafeString | str:
    """Three digits and the unit; a dash where it is not known."""
    if value is None:
        return UNKNOWN
    return with_unit(spell_number(value), unit) if unit else spell_number(value)


@register.simple_tag
def csv_query(dashboard: Dashboard, panel: Panel) -> str:
    return dashboard.csv_query(panel)
