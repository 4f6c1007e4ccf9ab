"""Reading telemetry: the rings for the last hour, the roll-ups beyond it, one answer for pages, API and CSV."""

from collections.abc import Iterator

import msgspec
from django.db.models import Q

from console.telemetry import live
from console.telemetry.cells import Cell
from console.telemetry.models import GRAINS_S, Event, GatewayRollUp, RollUp, WorkerRollUp
from console.telemetry.rings import SPAN_S, Gauge
from console.telemetry.rollups import READINGS, cell_of
from console.telemetry.series import Answer, Query, Sample, check, evaluate, evaluate_workers

FINE_SPAN_S = 2 * 86_400 - 3_600  # ranges that begin earlier are answered from the wide grain


def run_query(query: Query, now_s: float) -> Answer:
    """Answer from wherever the range lies, perhaps at a wider step than asked. Raises Invalid."""
    check(query)
    if query.start < now_s - SPAN_S - query.step:
        return query_history(query, now_s)
    answer = live.ask(query)
    if answer is None:
        return query_history(query, now_s)
    if not answer.since or answer.since > query.start:
        fill_front(answer, query_history(query, now_s))
    return answer


def fill_front(answer: Answer, history: Answer) -> None:
    """The monitor's memory is younger than the range: what was written before it stands in the front of each line.

    A finer step than history has repeats the value of its bucket; one that reaches into the memory is left out.
    """
    held_from = answer.since or answer.start + answer.points * answer.step
    for name, line in history.series.items():
        held = answer.series.setdefault(name, [None] * answer.points)
        for index in range(answer.points):
            begins = answer.start + index * answer.step
            place = (begins - history.start) // history.step
            ends = max(begins + answer.step, history.start + (place + 1) * history.step)
            if ends > held_from or place >= len(line):
                break
            held[index] = line[place]
    answer.through = max(answer.through, history.through)


def query_history(query: Query, now_s: float) -> Answer:
    """From the roll-ups. Their buckets are 10 s at best, so the step is widened to whole buckets."""
    fine, wide = GRAINS_S
    grain = wide if query.step % wide == 0 or query.start < now_s - FINE_SPAN_S else fine
    step = -(-query.step // grain) * grain
    query = msgspec.structs.replace(query, start=query.start - query.start % grain, step=step)
    if query.by == "worker":
        return evaluate_workers(query, worker_samples(query, grain))
    return evaluate(query, cells(query, grain), gauges(query, grain))


def in_range(query: Query, grain: int) -> Q:
    return Q(grain_s=grain, start_s__gte=query.start, start_s__lt=query.end)


def cells(query: Query, grain: int) -> Iterator[tuple[int, str, int, Cell]]:
    rows = RollUp.objects.filter(in_range(query, grain))
    if query.model:
        rows = rows.filter(model=query.model)
    for row in rows.iterator(chunk_size=2_000):
        yield row.start_s, row.model, row.version, cell_of(row)


def gauges(query: Query, grain: int) -> Iterator[tuple[int, Gauge]]:
    columns = ("start_s", "seconds", "waiting", "in_flight", "dropped")
    for start, *sums in GatewayRollUp.objects.filter(in_range(query, grain)).values_list(*columns):
        yield start, Gauge(*sums)


def worker_samples(query: Query, grain: int) -> Iterator[tuple[int, str, dict[str, Sample]]]:
    for row in WorkerRollUp.objects.filter(in_range(query, grain)).iterator(chunk_size=2_000):
        yield (
            row.start_s,
            row.replica,
            {name: (getattr(row, name), getattr(row, f"{name}_samples")) for name in READINGS},
        )


def latest_events(most: int = 10) -> list[Event]:
    return list(Event.objects.all()[:most])


def events_after(pk: int, most: int = 100) -> list[Event]:
    return list(Event.objects.filter(pk__gt=pk).order_by("pk")[:most])
