"""The record, and the check of its chain."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.accounts.filters import AuditFilter
from console.accounts.models import AuditEvent
from console.accounts.selectors import get_audit_event, list_audit
from console.accounts.services import verify_chain
from console.lib.api_docs import NOT_FOUND
from console.lib.csv_export import CsvList
from console.lib.pagination import EventCursor


class AuditSerializer(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = (
            "id", "number", "at", "actor_kind", "actor_id", "actor_name", "action", "subject", "before", "after",
            "reason", "request_id", "previous_hash", "hash",
        )  # fmt: skip
        read_only_fields = fields


class ChainSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    events = serializers.IntegerField(help_text="Events walked")
    head = serializers.CharField(help_text="Hash of the last event; keep it elsewhere to compare later")
    broken_at = serializers.IntegerField(allow_null=True, help_text="Number of the first event that does not fit")
    detail = serializers.CharField()


@extend_schema_view(get=extend_schema(summary="List what was done, newest first"))
class Audit(CsvList[AuditEvent]):
    queryset = AuditEvent.objects.none()
    serializer_class = AuditSerializer
    filterset_class = AuditFilter
    pagination_class = EventCursor

    def get_queryset(self) -> Any:
        return list_audit()


class OneAuditEvent(generics.GenericAPIView[AuditEvent]):
    queryset = AuditEvent.objects.none()

    @extend_schema(summary="Read one event", responses={200: AuditSerializer, **NOT_FOUND})
    def get(self, request: Request, pk: str) -> Response:
        return Response(AuditSerializer(get_audit_event(pk)).data)


class AuditChain(APIView):
    @extend_schema(summary="Walk the whole chain: does it hold?", responses={200: ChainSerializer})
    def get(self, request: Request) -> Response:
        return Response(asdict(verify_chain()))
