"""Form fields in our look: the widget gets its class, its error and help are tied to it for screen readers."""

from django import template
from django.forms import BoundField, CheckboxInput
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def control(field: BoundField) -> SafeString:
    attributes: dict[str, str | bool] = {
        "class": "" if is_checkbox(field) else "in",
        "placeholder": "",
    }  # the label says it, and stays
    told_by = [f"{field.auto_id}-{part}" for part, text in (("err", field.errors), ("help", field.help_text)) if text]
    if told_by:
        attributes["aria-describedby"] = " ".join(told_by)
    if field.errors:
        attributes["aria-invalid"] = "true"
    return field.as_widget(attrs=attributes)


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, CheckboxInput)
