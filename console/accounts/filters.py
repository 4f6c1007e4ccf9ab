"""Filters of the record, of people and of keys; pages and API use the same."""

import django_filters as filters
from django.db.models import Q, QuerySet
from django.utils import timezone

from console.accounts.choices import Role
from console.accounts.models import ApiKey, AuditEvent, User
from console.lib.filters import StrictFilterSet

SEARCH_HELP = "Part of the text, without regard to case"


class AuditFilter(StrictFilterSet):
    action = filters.BaseInFilter(help_text="One or more actions, with commas")
    actor = filters.CharFilter(field_name="actor_name", lookup_expr="iexact")
    actor_kind = filters.ChoiceFilter(choices=[("user", "Person"), ("key", "API key"), ("system", "System")])
    subject = filters.CharFilter(lookup_expr="startswith", help_text="Such as model/minilm; what lies under it too")
    request_id = filters.CharFilter()
    created_after = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    q = filters.CharFilter(method="search", help_text=SEARCH_HELP)

    class Meta:
        model = AuditEvent
        fields: list[str] = []

    def search(self, rows: QuerySet[AuditEvent], name: str, value: str) -> QuerySet[AuditEvent]:
        text = Q(subject__icontains=value) | Q(reason__icontains=value) | Q(actor_name__icontains=value)
        return rows.filter(text | Q(action__icontains=value))


class UserFilter(StrictFilterSet):
    ordering = filters.OrderingFilter(fields=["username", "role", "date_joined", "last_login"])
    role = filters.MultipleChoiceFilter(choices=Role.choices)
    is_active = filters.BooleanFilter()
    q = filters.CharFilter(method="search", help_text=SEARCH_HELP)

    class Meta:
        model = User
        fields: list[str] = []

    def search(self, rows: QuerySet[User], name: str, value: str) -> QuerySet[User]:
        return rows.filter(Q(username__icontains=value) | Q(email__icontains=value))


class ApiKeyFilter(StrictFilterSet):
    ordering = filters.OrderingFilter(fields=["name", "created_at", "expires_at", "last_used_at"])
    state = filters.ChoiceFilter(choices=[("active", "Active"), ("ended", "Revoked or expired")], method="by_state")
    owner = filters.CharFilter(field_name="owner__username", lookup_expr="iexact")
    q = filters.CharFilter(method="search", help_text=SEARCH_HELP)

    class Meta:
        model = ApiKey
        fields: list[str] = []

    def by_state(self, rows: QuerySet[ApiKey], name: str, value: str) -> QuerySet[ApiKey]:
        active = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        return rows.filter(active if value == "active" else ~active)

    def search(self, rows: QuerySet[ApiKey], name: str, value: str) -> QuerySet[ApiKey]:
        return rows.filter(Q(name__icontains=value) | Q(prefix__icontains=value))
