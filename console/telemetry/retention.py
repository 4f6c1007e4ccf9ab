"""Retention: what is old leaves in small batches, so nobody waits long for the database's write lock."""

from datetime import UTC, datetime, timedelta

from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from console.accounts.models import LoginLink
from console.lib import idempotency
from console.lib.models import IdempotentAnswer
from console.telemetry.models import Event, GatewayRollUp, RollUp, WorkerRollUp

KEEP_S = {10: 2 * 86_400, 300: 90 * 86_400}  # by grain
KEEP_EVENTS_S = 90 * 86_400
BATCH = 1_000
MAX_BATCHES = 20  # a run; the next one goes on


def delete_old(now_s: float) -> int:
    """Delete history, sessions and kept answers past their time; returns how many rows went."""
    gone = 0
    for model in (RollUp, GatewayRollUp, WorkerRollUp):
        for grain_s, keep_s in KEEP_S.items():
            gone += delete_some(model.objects.filter(grain_s=grain_s, start_s__lt=int(now_s) - keep_s))
    now = datetime.fromtimestamp(now_s, UTC)
    gone += delete_some(Session.objects.filter(expire_date__lt=now))
    gone += delete_some(IdempotentAnswer.objects.filter(created_at__lt=now - idempotency.LIFE))
    gone += delete_some(LoginLink.objects.filter(expires_at__lt=now - timedelta(days=1)))
    oldest = now - timedelta(seconds=KEEP_EVENTS_S)
    return gone + delete_some(Event.objects.filter(at__lt=oldest))


def delete_some(old: QuerySet) -> int:
    gone = 0
    for _ in range(MAX_BATCHES):
        batch = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if batch:
            gone += old.model.objects.filter(pk__in=batch).delete()[0]
        if len(batch) < BATCH:
            break
    return gone
