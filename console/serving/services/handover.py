"""From one version to the next without a gap: who lost the traffic leaves only when the next one has it.

The console says what is wanted, the controller what is in force. Between the two lies the time a model takes to load,
and all of it the old version must answer.
"""

from collections.abc import Iterable

from django.db import transaction

from console.fleet.reports import read_effective
from console.registry.models import Model, Version
from console.registry.services.writes import mark_spec
from console.serving.models import Outgoing, Traffic, TrafficWeight


def begin_handover(held: Traffic, to: Iterable[Version]) -> None:
    """Inside the transaction that moves the traffic: whoever loses all of it is outgoing, whoever gains any is not."""
    gaining = [version.pk for version in to]
    losing = held.weights.exclude(version__in=gaining).values_list("version_id", flat=True)
    Outgoing.objects.bulk_create([Outgoing(version_id=pk) for pk in losing], ignore_conflicts=True)
    Outgoing.objects.filter(version__in=gaining).delete()


def settle_handovers() -> int:
    """Let go of outgoing versions that no gateway is sent to any more; how many. Called every few seconds.

    While Redis does not say what is in force, nothing is let go: an old version too long loaded costs memory, one let
    go too early costs answers.
    """
    models = Model.objects.filter(versions__outgoing__isnull=False).distinct()
    return sum(settle_handover(model) for model in models)


@transaction.atomic
def settle_handover(model: Model) -> int:
    wanted = {
        weight.version.number: weight.percent
        for weight in TrafficWeight.objects.filter(traffic__model=model).select_related("version")
    }
    effective = read_effective(model.name)
    if effective is None or {weight.version: weight.percent for weight in effective.weights} != wanted:
        return 0
    gone, _ = Outgoing.objects.filter(version__model=model).delete()
    if gone:
        mark_spec(model)
    return gone
