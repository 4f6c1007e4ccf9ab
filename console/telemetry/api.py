"""Metrics for machines: the catalogue of series, and any of them over any range, as JSON or CSV."""

import csv
import time
from io import StringIO
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.lib.api_docs import INVALID
from console.lib.filters import check_parameters
from console.telemetry.asked import PARAMETERS, read_query, spell_time
from console.telemetry.selectors import run_query
from console.telemetry.series import CATALOGUE, MAX_POINTS, RANGES, Answer


class SeriesSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    unit = serializers.CharField()
    by = serializers.ListField(child=serializers.CharField(), help_text="Ways to group it")
    means = serializers.CharField()
    quantiles = serializers.BooleanField(help_text="Takes `q`; its lines are called name.p95|group")


class CatalogueSerializer(serializers.Serializer[Any]):
    results: Any = SeriesSerializer(many=True)
    ranges = serializers.ListField(child=serializers.CharField())
    max_points = serializers.IntegerField()


class AnswerSerializer(serializers.Serializer[Any]):
    start = serializers.CharField(help_text="Time of the first point")
    t0 = serializers.IntegerField(help_text="The same in seconds since 1970")
    step = serializers.IntegerField(help_text="Seconds between points; wider than asked where history is coarser")
    points = serializers.IntegerField()
    through = serializers.IntegerField(allow_null=True, help_text="The newest second that counts; null: nothing known")
    left_out = serializers.IntegerField(help_text="Groups not in the answer, those with the fewest requests")
    series = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)),
        help_text="Lines by name|group; null: not known or nothing measured, never zero",
    )


class CsvRenderer(BaseRenderer):
    """Says that `Accept: text/csv` is understood; the view itself writes the rows."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, media_type: str | None = None, context: Any = None) -> bytes:
        """Only problem documents come here: they stay JSON."""
        return JSONRenderer().render(data)


class SeriesList(APIView):
    @extend_schema(summary="What is measured", responses={200: CatalogueSerializer})
    def get(self, request: Request) -> Response:
        check_parameters(request.query_params, ())
        results = [{"name": name, **described._asdict()} for name, described in CATALOGUE.items()]
        return Response({"results": results, "ranges": list(RANGES), "max_points": MAX_POINTS})


QUERY_PARAMETERS = [
    OpenApiParameter("series", str, description="Names from the catalogue, by comma. Default latency_ms"),
    OpenApiParameter("q", str, description="Quantiles, by comma. Default 0.5,0.95,0.99"),
    OpenApiParameter("by", str, enum=["version", "model", "none", "code", "worker"]),
    OpenApiParameter("model", str, description="Only this model"),
    OpenApiParameter("range", str, enum=list(RANGES), description="Up to now; default 15m"),
    OpenApiParameter("start", str, description="RFC 3339 or seconds since 1970"),
    OpenApiParameter("end", str, description="The same, exclusive"),
    OpenApiParameter("step", int, description="Seconds; default: the finest that fits in a chart"),
    OpenApiParameter("format", str, enum=["json", "csv"]),
]


class MetricsQuery(APIView):
    renderer_classes = (JSONRenderer, CsvRenderer)

    @extend_schema(
        summary="Series over a range", parameters=QUERY_PARAMETERS, responses={200: AnswerSerializer, **INVALID}
    )
    def get(self, request: Request) -> Response | HttpResponse:
        check_parameters(request.query_params, PARAMETERS)
        now_s = time.time()
        answer = run_query(read_query(request.query_params.dict(), now_s), now_s)
        if request.accepted_renderer.format == "csv":
            named = f"switchyard-{request.query_params.get('series', 'latency_ms').replace(',', '-')[:60]}.csv"
            return HttpResponse(
                as_csv(answer),
                content_type="text/csv; charset=utf-8",
                headers={"Content-Disposition": f'attachment; filename="{named}"'},
            )
        return Response(as_json(answer))


def as_json(answer: Answer) -> dict[str, Any]:
    lines = {
        name: [None if value is None else round(value, 4) for value in line] for name, line in answer.series.items()
    }
    return {
        "start": spell_time(answer.start), "t0": answer.start, "step": answer.step, "points": answer.points,
        "through": answer.through or None, "left_out": answer.left_out, "series": lines,
    }  # fmt: skip


def as_csv(answer: Answer) -> str:
    """One row a point; an empty cell is unknown. Times are ISO 8601 in UTC. Every cell begins with a word of ours."""
    names = sorted(answer.series)
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(["time (UTC)", *names])
    for index in range(answer.points):
        values = (answer.series[name][index] for name in names)
        rows.writerow(
            [spell_time(answer.start + index * answer.step), *("" if v is None else f"{v:.6g}" for v in values)]
        )
    return text.getvalue()
