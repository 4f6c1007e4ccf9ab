"""What happened lately, in one list: events of the data plane and acts of people."""

from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice

from console.accounts.models import AuditEvent
from console.accounts.templatetags.events import action_icon, event_title
from console.telemetry.models import Event

# Signing in happens all day and says nothing about the models.
QUIET_ACTIONS = ("user.login", "user.logout", "login_link.")
LEVEL_ICONS = {"ok": "check", "warn": "warn", "bad": "bad"}
KIND_ICONS = {"worker": "chip", "version": "model", "controller": "retry", "gateway": "bolt"}


@dataclass(frozen=True)
class Happening:
    at: datetime
    icon: str
    tone: str  # ok | warn | bad | muted
    title: str
    text: str


def latest_happenings(most: int) -> list[Happening]:
    """Newest first."""
    events = map(of_event, Event.objects.all()[:most])
    people = AuditEvent.objects.all()
    for quiet in QUIET_ACTIONS:
        people = people.exclude(action__startswith=quiet)
    acts = map(of_act, people.order_by("-number")[:most])
    return list(islice(merge(events, acts, key=lambda one: one.at, reverse=True), most))


def of_event(event: Event) -> Happening:
    icon = LEVEL_ICONS.get(event.level) or KIND_ICONS.get(event.kind.split(".")[0], "info")
    tone = event.level if event.level in LEVEL_ICONS else "muted"
    return Happening(event.at, icon, tone, title_of(event.kind), event.message)


def title_of(kind: str) -> str:
    """`worker.ready` → Worker ready."""
    return kind.replace(".", " ").replace("_", " ").capitalize()


def of_act(act: AuditEvent) -> Happening:
    return Happening(act.at, action_icon(act.action), "muted", event_title(act), f"{act.actor_name} · {act.subject}")
