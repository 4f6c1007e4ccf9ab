"""Two ways to page: with numbers and a count, and by cursor for tables that grow while they are read."""

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.response import Response

from console.lib.errors import Invalid, Missing
from console.lib.numbers import read_whole

MAX_PAGE_SIZE = 200


class CountedPages(PageNumberPagination):
    """`?page=2&page_size=50` → `{"count": …, "next": url, "previous": url, "results": []}`, and a Link header."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_page_size(self, request: Any) -> int:
        return read_page_size(request, self.page_size)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except NotFound as error:
            raise Missing(f"There is no page {request.query_params.get(self.page_query_param)!r}.") from error

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        add_links(response, self.get_next_link(), self.get_previous_link())
        return response


class EventCursor(CursorPagination):
    """`?cursor=…&page_size=50` → `{"next": url, "previous": url, "results": []}`: no count, no page that shifts."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE
    ordering = "-number"

    def get_page_size(self, request: Any) -> int:
        return read_page_size(request, self.page_size)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except NotFound as error:
            raise Invalid("The cursor is not one of ours. Begin again without it.") from error

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        add_links(response, self.get_next_link(), self.get_previous_link())
        return response


def read_page_size(request: Any, default: int) -> int:
    given = request.query_params.get("page_size")
    if given is None:
        return default
    size = read_whole(given, otherwise=0)
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise Invalid.field("page_size", f"page_size is a whole number from 1 to {MAX_PAGE_SIZE}.")
    return size


def add_links(response: Response, following: str | None, previous: str | None) -> None:
    links = [f'<{url}>; rel="{rel}"' for url, rel in ((following, "next"), (previous, "prev")) if url]
    if links:
        response["Link"] = ", ".join(links)
