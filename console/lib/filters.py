"""Filters of lists: the same set for the API and for the pages, and no parameter that is silently ignored."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django_filters import FilterSet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from console.lib.errors import Fault, Invalid, UnknownParameter

PAGING = frozenset({"page", "page_size", "cursor", "format"})


class StrictFilterSet(FilterSet):
    """Raises for a parameter that it does not know, or a value that it cannot use."""

    also_known: frozenset[str] = frozenset()  # read by the view itself

    @property
    def qs(self) -> QuerySet[Any]:
        if self.is_bound:
            check_parameters(self.data, self.parameter_names())
            if not self.form.is_valid():
                raise Invalid(*faults_of(self.form.errors))
        return super().qs

    def parameter_names(self) -> set[str]:
        names = set(self.also_known)
        for name, held in self.filters.items():
            suffixes = getattr(held.field.widget, "suffixes", [])
            names |= {f"{name}_{suffix}" for suffix in suffixes if suffix} or {name}
        return names


class StrictFilterBackend(DjangoFilterBackend):
    """DRF's list filter; a view without a filter set takes only paging parameters and its own `parameters`."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        own: Iterable[str] = getattr(view, "parameters", ())
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            check_parameters(request.query_params, own)
            return queryset
        filterset.also_known = filterset.also_known | frozenset(own)
        return filterset.qs


def check_parameters(given: QueryDict | dict[str, Any], known: Iterable[str]) -> None:
    """A misspelt filter must not answer with everything: 400, with the names there are."""
    allowed = set(known) | PAGING
    unknown = sorted(set(given) - allowed)
    if unknown:
        faults = tuple(Fault(f"?{name}", "unknown_parameter", "Not a parameter of this list.") for name in unknown)
        known_names = ", ".join(sorted(allowed - {"format"}))
        raise UnknownParameter(f"Unknown parameter {', '.join(unknown)}. Known here: {known_names}.", faults)


def faults_of(form_errors: Any) -> tuple[str, tuple[Fault, ...]]:
    faults = tuple(
        Fault(f"?{name}", item.code or "invalid", message)
        for name, held in form_errors.as_data().items()
        for item in held
        for message in item.messages
    )
    return " ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), faults
