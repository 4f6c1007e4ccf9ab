"""Links that change one thing of the query and keep the rest: filters, sort and page live in the address."""

from urllib.parse import urlencode

from django import template
from django.template import Context

register = template.Library()


@register.simple_tag(takes_context=True)
def with_query(context: Context, **changes: object) -> str:
    """`{% with_query page=2 %}`; an empty value takes the parameter away. A new filter begins at the first page."""
    query = context["request"].GET.copy()
    if "page" not in changes:
        query.pop("page", None)
    for name, value in changes.items():
        query.pop(name, None)
        if value not in (None, ""):
            query[name] = str(value)
    return f"?{urlencode(sorted(query.items()))}" if query else context["request"].path
