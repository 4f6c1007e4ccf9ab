"""The frame around every page: who is looking, in which theme, and which pages there are."""

from dataclasses import dataclass

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from console.lib.undo import undo_of

register = template.Library()
register.filter("undo", undo_of)

THEMES = ("light", "dark")  # anything else follows the system


@dataclass(frozen=True)
class Page:
    label: str
    icon: str
    url_name: str
    arguments: tuple[str, ...] = ()
    key: str = ""  # second key of the shortcut `g …`
    narrow: bool = False  # has a place in the bottom bar of a narrow screen

    @property
    def url(self) -> str:
        return reverse(self.url_name, args=self.arguments)

    @property
    def exists(self) -> bool:
        try:
            return bool(self.url)
        except NoReverseMatch:
            return False


PAGES = {
    "": (Page("Overview", "home", "overview", key="o", narrow=True),),
    "Serve": (
        Page("Models", "model", "models", key="m", narrow=True),
        Page("Playground", "play", "playground", key="p", narrow=True),
    ),
    "Observe": (Page("Dashboards", "chart", "dashboard", ("latency",), key="d", narrow=True),),
    "Operate": (Page("Workers", "chip", "workers", key="w", narrow=True),),
    "Govern": (
        Page("Audit", "audit", "audit", key="a"),
        Page("Settings", "gear", "settings", ("profile",), key="s"),
    ),
}


@register.simple_tag
def navigation() -> list[tuple[str, list[Page]]]:
    """The rail: groups with the pages that exist."""
    groups = ((title, [page for page in pages if page.exists]) for title, pages in PAGES.items())
    return [(title, pages) for title, pages in groups if pages]


@register.simple_tag(takes_context=True)
def is_current(context: Context, page: Page) -> bool:
    path = context["request"].path
    if page.url == "/":
        return bool(path == "/")
    section = "/".join(page.url.split("/")[:2])  # /settings/profile/ stands for all of /settings
    return bool(path == section or path.startswith(section + "/"))


@register.simple_tag(takes_context=True)
def document_attributes(context: Context) -> SafeString:
    """Theme, rail and shortcuts on `<html>`, so that the first byte is right and no script has to wait."""
    request = context.get("request")
    parts = []
    theme = chosen_theme(request)
    if theme in THEMES:
        parts.append(format_html(' data-theme="{}"', theme))
    if request is not None and request.COOKIES.get("rail") == "icons":
        parts.append(mark_safe(' data-rail="icons"'))
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated and user.shortcuts:
        parts.append(mark_safe(' data-shortcuts="on"'))
    return mark_safe("".join(parts))  # noqa: S308  each part was escaped above


def chosen_theme(request: HttpRequest | None) -> str:
    """A person's stored choice; before sign-in, the cookie of the last one."""
    if request is None:
        return "system"
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return str(user.theme)
    return request.COOKIES.get("theme", "system")


@register.simple_tag(takes_context=True)
def live(context: Context, part: str, seconds: int) -> SafeString:
    """Attributes of a part that is fetched again while the page is seen (`shell.js` holds back what would disturb)."""
    return format_html(
        'id="{0}" data-live hx-get="{1}" hx-select="#{0}" hx-swap="outerHTML" hx-trigger="every {2}s" '
        'hx-disinherit="hx-select hx-swap"',
        part,
        context["request"].get_full_path(),
        seconds,
    )


@register.simple_tag
def environment() -> str:
    return str(settings.ENVIRONMENT)


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """One symbol of the sprite, decorative: the word beside it, or the button's label, says it."""
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f"i {classes}".strip(),
        static("img/icons.svg"),
        name,
    )


@register.filter
def initials(user: object) -> str:
    """Two letters for the round mark of a person."""
    name = getattr(user, "get_full_name", lambda: "")() or getattr(user, "username", "") or "?"
    words = name.replace(".", " ").replace("_", " ").replace("-", " ").split()
    letters = words[0][0] + words[1][0] if len(words) > 1 else name[:2]
    return letters.upper()


@register.filter
def is_sentence(text: object) -> bool:
    """Our own 404s explain themselves in a sentence; the URL resolver's are for developers."""
    return isinstance(text, str) and text.endswith(".")
