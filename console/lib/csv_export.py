"""`Accept: text/csv` on a list: every row that the filters leave, not just one page."""

import csv
import io
import json
from typing import Any, TypeVar

from django.db.models import Model
from django.http import HttpResponse
from rest_framework import generics
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from console.lib.errors import Invalid

Row = TypeVar("Row", bound=Model)
MAX_ROWS = 50_000  # built in memory: narrower filters, or several exports by time, give the rest
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvRenderer(BaseRenderer):
    """Takes part in content negotiation only; `CsvList` writes the rows itself. An error is a problem, in JSON."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()


class CsvList(generics.ListAPIView[Row]):
    """A list that is there as a table too."""

    renderer_classes = [JSONRenderer, CsvRenderer]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        renderer = request.accepted_renderer
        if renderer is None or renderer.format != "csv":
            return super().list(request, *args, **kwargs)
        rows = self.filter_queryset(self.get_queryset())
        count = rows.count()
        if count > MAX_ROWS:
            raise Invalid(f"{count} rows match; an export holds at most {MAX_ROWS}. Narrow the filter.")
        serializer: Any = self.get_serializer(rows, many=True)
        columns = list(serializer.child.fields)
        answer = HttpResponse(write_csv(columns, serializer.data), content_type="text/csv; charset=utf-8")
        name = request.path.strip("/").rsplit("/", 1)[-1]
        answer["Content-Disposition"] = f'attachment; filename="switchyard-{name}.csv"'
        return answer


def write_csv(columns: list[str], rows: Any) -> str:
    """Times are ISO 8601 with their zone; what is itself a structure is JSON in its cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row[column]) for column in columns])
    return text.getvalue()


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    # A spreadsheet runs what looks like a formula; names and reasons are anybody's text.
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else text
