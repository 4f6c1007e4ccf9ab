"""A question before an act: what will happen, in numbers. A page by itself; in a dialog where there is script."""

from dataclasses import dataclass, field

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.lib.pages import wants_fragment


@dataclass(frozen=True)
class Effect:
    text: str
    icon: str = "arrow"


@dataclass(frozen=True)
class Question:
    title: str
    text: str
    act: str  # word on the button
    action: str  # where it posts
    cancel: str  # where it goes back to without script
    effects: tuple[Effect, ...] = ()
    fields: dict[str, object] = field(default_factory=dict)  # hidden ones
    danger: bool = False
    typed: str = ""  # a word to be typed first, for what cannot be undone
    blocked: str = ""  # why it cannot be done now


def ask(request: HttpRequest, question: Question) -> HttpResponse:
    template = "_parts/question.html" if wants_fragment(request) else "question.html"
    return render(request, template, {"question": question})
