"""REST of the fleet: workers as they report themselves, pools as they are wanted."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.fleet import selectors, services
from console.fleet.choices import DriverName, Freshness
from console.fleet.models import Pool
from console.fleet.selectors import WorkerRow
from console.lib.actors import actor_of
from console.lib.api_docs import IF_MATCH, INVALID, NOT_FOUND, PROBLEMS, STALE
from console.lib.etag import check_match, etag_of, with_etag
from console.lib.filters import check_parameters
from console.lib.rights import ADMIN
from inference.status import ReplicaState


class ReadingSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True)
    reason = serializers.CharField(allow_blank=True, help_text="Why there is no value")


class WorkerSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    pool = serializers.CharField(source="status.pool")
    node = serializers.CharField(source="status.node")
    model = serializers.CharField(source="status.model")
    version = serializers.IntegerField(source="status.version")
    unit = serializers.CharField(source="status.unit")
    device = serializers.CharField(source="status.device")
    device_name = serializers.CharField(source="status.device_name")
    state = serializers.ChoiceField(
        [(state.value, state.value.title()) for state in ReplicaState], source="status.state.value"
    )
    freshness = serializers.ChoiceField(Freshness.choices)
    heartbeat_age_ms = serializers.SerializerMethodField()
    uptime_ms = serializers.SerializerMethodField()
    pid = serializers.IntegerField(source="status.pid")
    restarts = serializers.IntegerField(source="status.restarts")
    in_flight = serializers.IntegerField(source="status.in_flight")
    batches = serializers.IntegerField(source="status.batches")
    rows = serializers.IntegerField(source="status.rows")
    busy_percent = ReadingSerializer(source="status.busy")
    device_use_percent = ReadingSerializer(source="status.device_use")
    memory_used_bytes = ReadingSerializer(source="status.memory_used_bytes")
    memory_total_bytes = ReadingSerializer(source="status.memory_total_bytes")
    rss_bytes = serializers.IntegerField(source="status.rss_bytes")
    reason = serializers.CharField(source="status.reason", allow_blank=True)

    def get_heartbeat_age_ms(self, row: WorkerRow) -> int:
        return round(row.age_s * 1000)

    def get_uptime_ms(self, row: WorkerRow) -> int:
        return round(row.uptime_s * 1000)


class WorkersSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    as_of = serializers.FloatField(allow_null=True, help_text="Unix time of this news; null: none was ever heard")
    problem = serializers.CharField(allow_blank=True, help_text="Why there is no newer news")
    results: Any = WorkerSerializer(many=True)


class Workers(APIView):
    @extend_schema(
        operation_id="workers_list",
        summary="Every replica that reported lately",
        responses={200: WorkersSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        check_parameters(request.query_params, ())
        report = selectors.list_workers()
        rows = [WorkerSerializer(row).data for row in report.items]
        return Response({"count": len(rows), "as_of": report.as_of_s, "problem": report.problem, "results": rows})


class OneWorker(APIView):
    @extend_schema(summary="Read one replica", responses={200: WorkerSerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, pk: str) -> Response:
        return Response(WorkerSerializer(selectors.get_worker(pk)).data)


class PoolSerializer(serializers.ModelSerializer[Pool]):
    driver = serializers.ChoiceField(DriverName.choices)
    devices = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Pool
        fields = ("name", "driver", "devices", "max_workers", "spares", "updated_at", "updated_by", "row_version")
        read_only_fields = fields


class SetPoolSerializer(serializers.Serializer[Any]):
    devices = serializers.ListField(child=serializers.CharField(max_length=16), min_length=1, max_length=64)
    max_workers = serializers.IntegerField(min_value=1, max_value=services.MAX_WORKERS)
    spares = serializers.IntegerField(min_value=0, max_value=services.MAX_SPARES)


def pool_etag(pool: Pool) -> str:
    return etag_of("pool", pool.name, pool.row_version)


class OnePool(APIView):
    write_right = ADMIN

    @extend_schema(summary="Read a pool as it is wanted", responses={200: PoolSerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, name: str) -> Response:
        pool = selectors.get_pool(name)
        return with_etag(request, Response(PoolSerializer(pool).data), pool_etag(pool))

    @extend_schema(
        summary="Change a pool's devices and bounds",
        parameters=[IF_MATCH],
        request=SetPoolSerializer,
        responses={200: PoolSerializer, **NOT_FOUND, **STALE, **INVALID, **PROBLEMS},
    )
    def put(self, request: Request, name: str) -> Response:
        pool = selectors.get_pool(name)
        check_match(request, pool_etag(pool), lambda: PoolSerializer(pool).data)
        given = SetPoolSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = services.set_pool(name=name, actor=actor_of(request), seen=pool.row_version, **given.validated_data)
        return with_etag(request, Response(PoolSerializer(changed).data), pool_etag(changed))
