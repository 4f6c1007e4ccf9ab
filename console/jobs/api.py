"""REST of long work and of the demo."""

from typing import Any, ClassVar

import django_filters as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from console.jobs import selectors, services
from console.jobs.choices import OperationKind, OperationState
from console.jobs.models import Operation
from console.lib.actors import actor_of
from console.lib.api_docs import CONFLICT, IDEMPOTENCY_KEY, INVALID, NOT_FOUND, PROBLEMS
from console.lib.errors import Missing
from console.lib.etag import etag_of, with_etag
from console.lib.filters import StrictFilterSet
from console.lib.idempotency import Idempotent
from console.lib.rights import ADMIN
from console.registry.models import Model
from console.registry.selectors import get_model

DEMO_MODEL = "minilm"


class OperationErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class OperationSerializer(serializers.ModelSerializer[Operation]):
    kind = serializers.ChoiceField(OperationKind.choices)
    state = serializers.ChoiceField(OperationState.choices)
    result = serializers.DictField(allow_null=True)
    error = OperationErrorSerializer(allow_null=True)

    class Meta:
        model = Operation
        fields = (
            "id", "kind", "subject", "state", "progress", "message", "result", "error", "attempts", "cancel_requested",
            "created_at", "created_by", "started_at", "finished_at", "row_version",
        )  # fmt: skip
        read_only_fields = fields


class OperationFilter(StrictFilterSet):
    kind = filters.MultipleChoiceFilter(choices=OperationKind.choices)
    state = filters.MultipleChoiceFilter(choices=OperationState.choices)
    subject = filters.CharFilter(help_text="Such as minilm/2")

    class Meta:
        model = Operation
        fields: list[str] = []


def show_operation(request: Request, operation: Operation, status: int = 200) -> Response:
    etag = etag_of("operation", operation.pk, operation.row_version)
    return with_etag(request, Response(OperationSerializer(operation).data, status=status), etag)


def accepted(request: Request, operation: Operation) -> Response:
    """202: the work goes on; Location tells how far it is."""
    response = show_operation(request, operation, 202)
    response["Location"] = f"/api/v1/operations/{operation.pk}/"
    return response


@extend_schema_view(get=extend_schema(summary="List long work, newest first"))
class Operations(generics.ListAPIView[Operation]):
    queryset = Operation.objects.all()
    serializer_class = OperationSerializer
    filterset_class = OperationFilter


class OneOperation(generics.GenericAPIView[Operation]):
    queryset = Operation.objects.none()

    @extend_schema(summary="How far an operation is", responses={200: OperationSerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, pk: str) -> Response:
        return show_operation(request, selectors.get_operation(pk))

    @extend_schema(
        summary="Cancel an operation; work in hand stops at its next step",
        responses={202: OperationSerializer, **NOT_FOUND, **CONFLICT, **PROBLEMS},
    )
    def delete(self, request: Request, pk: str) -> Response:
        operation = services.cancel_operation(operation=selectors.get_operation(pk), actor=actor_of(request))
        return accepted(request, operation)


class DemoSerializer(serializers.Serializer[Any]):
    models = serializers.ListField(child=serializers.CharField())
    operations: Any = OperationSerializer(many=True)


class RemovedSerializer(serializers.Serializer[Any]):
    removed = serializers.ListField(child=serializers.CharField())


class Demo(Idempotent):
    rights: ClassVar = {"DELETE": ADMIN}  # their versions and files go for good, as on the page

    @extend_schema(summary="Which demo models there are", responses={200: DemoSerializer, **PROBLEMS})
    def get(self, request: Request) -> Response:
        return Response(demo_now())

    @extend_schema(
        summary="Make the demo models",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: DemoSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        services.start_demo(actor=actor_of(request))
        return Response(demo_now(), status=202)

    @extend_schema(summary="Remove the demo models", responses={200: RemovedSerializer, **PROBLEMS})
    def delete(self, request: Request) -> Response:
        return Response({"removed": services.remove_demo(actor=actor_of(request))})


def demo_now() -> dict[str, Any]:
    running = selectors.list_operations(kind=OperationKind.DEMO, open_only=True)
    return {
        "models": list(Model.objects.filter(demo=True).values_list("name", flat=True)),
        "operations": OperationSerializer(running, many=True).data,
    }


class DemoTrafficSerializer(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=63, default=DEMO_MODEL)
    rate_per_s = serializers.FloatField(default=20, min_value=0.1, max_value=services.MAX_RATE_PER_S)
    seconds = serializers.FloatField(default=services.MAX_TRAFFIC_S, min_value=1, max_value=services.MAX_TRAFFIC_S)


class DemoTraffic(Idempotent):
    @extend_schema(
        summary="The run of demo traffic at work, else the last one",
        responses={200: OperationSerializer, **NOT_FOUND, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        operation = selectors.demo_traffic()
        if operation is None:
            raise Missing("No demo traffic was sent yet. POST here to send some.")
        return show_operation(request, operation)

    @extend_schema(
        summary="Send demo traffic through the gateway; it stops by itself",
        parameters=[IDEMPOTENCY_KEY],
        request=DemoTrafficSerializer,
        responses={202: OperationSerializer, **NOT_FOUND, **CONFLICT, **INVALID, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        given = DemoTrafficSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        model = get_model(values.pop("model"))
        return accepted(request, services.start_demo_traffic(model=model, actor=actor_of(request), **values))

    @extend_schema(summary="Stop demo traffic", responses={202: OperationSerializer, **NOT_FOUND, **PROBLEMS})
    def delete(self, request: Request) -> Response:
        operation = services.stop_demo_traffic(actor=actor_of(request))
        if operation is None:
            raise Missing("No demo traffic is running.")
        return accepted(request, operation)
