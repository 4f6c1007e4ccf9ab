"""REST of traffic, cache policy and the playground."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.lib.actors import actor_of
from console.lib.api_docs import CONFLICT, IF_MATCH, INVALID, NOT_FOUND, PROBLEMS, STALE, problem_response
from console.lib.errors import Invalid
from console.lib.etag import check_match, etag_of, with_etag
from console.lib.filters import check_parameters
from console.lib.rights import INFER
from console.registry.models import Model
from console.registry.selectors import get_model, get_version, stable_version
from console.serving import selectors, services
from console.serving.choices import Assignment
from console.serving.models import CachePolicy
from console.serving.services import TrafficChange
from console.serving.snippets import snippets

UNDO = timedelta(seconds=10)
DRY_RUN = OpenApiParameter("dry_run", bool, description="Say what would happen; change nothing")


class WeightSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)
    percent = serializers.FloatField(min_value=0, max_value=100)


class TrafficSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    weights: Any = WeightSerializer(many=True)
    assignment = serializers.ChoiceField(Assignment.choices)
    stable_version = serializers.IntegerField(allow_null=True)
    updated_by = serializers.CharField(allow_blank=True)
    row_version = serializers.IntegerField(help_text="0 while nobody ever set it")


class UndoSerializer(serializers.Serializer[Any]):
    method = serializers.CharField()
    href = serializers.CharField()
    body = serializers.DictField()
    if_match = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ChangedTrafficSerializer(TrafficSerializer):
    moved_percent = serializers.FloatField(help_text="How much of the traffic goes to another version than before")
    before: Any = WeightSerializer(many=True)
    undo = UndoSerializer(allow_null=True)


class SetTrafficSerializer(serializers.Serializer[Any]):
    weights: Any = WeightSerializer(many=True, allow_empty=True)
    assignment = serializers.ChoiceField(Assignment.choices, required=False)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class SetStableSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


def traffic_etag(model: Model, row_version: int) -> str:
    return etag_of("traffic", model.name, row_version)


def traffic_body(model: Model) -> dict[str, Any]:
    view = selectors.traffic_of(model)
    stable = stable_version(model)
    return {
        "model": model.name,
        "weights": [{"version": row.version.number, "percent": row.percent} for row in view.weights],
        "assignment": view.assignment,
        "stable_version": stable.number if stable else None,
        "updated_by": view.updated_by,
        "row_version": view.row_version,
    }


def weight_rows(weights: dict[int, float]) -> list[dict[str, Any]]:
    return [{"version": number, "percent": percent} for number, percent in sorted(weights.items())]


def show_change(request: Request, model: Model, change: TrafficChange, undo: dict[str, Any] | None) -> Response:
    body = traffic_body(model) | {
        "weights": weight_rows(change.after),
        "stable_version": change.stable_after,
        "before": weight_rows(change.before),
        "moved_percent": change.moved_percent,
        "undo": undo,
    }
    return with_etag(request, Response(body), traffic_etag(model, change.row_version))


def undo_of(model: Model, change: TrafficChange, href: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": method,
        "href": href,
        "body": body,
        "if_match": traffic_etag(model, change.row_version),
        "expires_at": timezone.now() + UNDO,
    }


def read_dry_run(request: Request) -> bool:
    check_parameters(request.query_params, {"dry_run"})
    given = request.query_params.get("dry_run", "false").lower()
    if given not in ("true", "false", "1", "0"):
        raise Invalid.field("dry_run", "dry_run is true or false.")
    return given in ("true", "1")


class Traffic(APIView):
    @extend_schema(
        summary="How a model's traffic is split", responses={200: TrafficSerializer, **NOT_FOUND, **PROBLEMS}
    )
    def get(self, request: Request, slug: str) -> Response:
        model = get_model(slug)
        body = traffic_body(model)
        return with_etag(request, Response(body), traffic_etag(model, body["row_version"]))

    @extend_schema(
        summary="Split the traffic: the weight of every live version; they sum to 100, or there are none",
        parameters=[IF_MATCH, DRY_RUN],
        request=SetTrafficSerializer,
        responses={200: ChangedTrafficSerializer, **NOT_FOUND, **CONFLICT, **STALE, **INVALID, **PROBLEMS},
    )
    def put(self, request: Request, slug: str) -> Response:
        dry_run = read_dry_run(request)
        model = get_model(slug)
        seen = selectors.traffic_of(model).row_version
        check_match(request, traffic_etag(model, seen), lambda: traffic_body(model))
        given = SetTrafficSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        rows = values.pop("weights")
        weights = {row["version"]: row["percent"] for row in rows}
        if len(weights) != len(rows):
            raise Invalid.field("weights", "A version stands there twice.")
        change = services.set_traffic(
            model=model, weights=weights, seen=seen, actor=actor_of(request), dry_run=dry_run, **values
        )
        undo = undo_of(model, change, request.path, "PUT", {"weights": weight_rows(change.before)})
        return show_change(request, model, change, None if dry_run else undo)


class SetStable(APIView):
    @extend_schema(
        summary="Give one version all of the traffic and the alias stable",
        parameters=[IF_MATCH, DRY_RUN],
        request=SetStableSerializer,
        responses={200: ChangedTrafficSerializer, **NOT_FOUND, **CONFLICT, **STALE, **INVALID, **PROBLEMS},
    )
    def post(self, request: Request, slug: str) -> Response:
        dry_run = read_dry_run(request)
        model = get_model(slug)
        seen = selectors.traffic_of(model).row_version
        check_match(request, traffic_etag(model, seen), lambda: traffic_body(model))
        given = SetStableSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        to = get_version(model, given.validated_data["version"])
        reason = given.validated_data["reason"]
        change = services.set_stable_version(
            model=model, to=to, seen=seen, actor=actor_of(request), reason=reason, dry_run=dry_run
        )
        undo = None
        if not dry_run and change.stable_before is not None:
            undo = undo_of(model, change, request.path, "POST", {"version": change.stable_before})
        return show_change(request, model, change, undo)


class CachePolicySerializer(serializers.ModelSerializer[CachePolicy]):
    model = serializers.CharField(source="model.name", read_only=True)

    class Meta:
        model = CachePolicy
        fields = (
            "model", "enabled", "strategy", "max_bytes", "max_entries", "ttl_s", "updated_by", "row_version",
        )  # fmt: skip
        read_only_fields = fields


class SetCachePolicySerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()
    strategy = serializers.CharField(max_length=32, required=False)
    max_bytes = serializers.IntegerField(required=False)
    max_entries = serializers.IntegerField(required=False)
    ttl_s = serializers.FloatField(required=False)


class OneCachePolicy(APIView):
    @extend_schema(summary="What may be cached", responses={200: CachePolicySerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, slug: str) -> Response:
        policy = selectors.cache_policy_of(get_model(slug))
        return self.show(request, policy)

    @extend_schema(
        summary="Set what may be cached",
        parameters=[IF_MATCH],
        request=SetCachePolicySerializer,
        responses={200: CachePolicySerializer, **NOT_FOUND, **STALE, **INVALID, **PROBLEMS},
    )
    def put(self, request: Request, slug: str) -> Response:
        model = get_model(slug)
        held = selectors.cache_policy_of(model)
        check_match(request, self.etag(held), lambda: CachePolicySerializer(held).data)
        given = SetCachePolicySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        policy = services.set_cache_policy(
            model=model, changes=dict(given.validated_data), seen=held.row_version, actor=actor_of(request)
        )
        return self.show(request, policy)

    def show(self, request: Request, policy: CachePolicy) -> Response:
        return with_etag(request, Response(CachePolicySerializer(policy).data), self.etag(policy))

    def etag(self, policy: CachePolicy) -> str:
        return etag_of("cache-policy", policy.model.name, policy.row_version)


class InferSerializer(serializers.Serializer[Any]):
    """An OIP request; an element of a BYTES input may be {"b64": "…"}."""

    inputs = serializers.ListField(child=serializers.DictField(), min_length=1, max_length=256)
    outputs = serializers.ListField(child=serializers.DictField(), required=False)
    parameters = serializers.DictField(required=False)
    id = serializers.CharField(max_length=200, required=False)
    version = serializers.CharField(max_length=63, required=False, help_text="A number or an alias; none: the traffic")


class InferAnswerSerializer(serializers.Serializer[Any]):
    status = serializers.IntegerField(help_text="Of the gateway's answer; a refusal is an answer too")
    version = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.FloatField(help_text="As the console saw it")
    timing_ms = serializers.DictField(child=serializers.FloatField())
    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.DictField()
    snippets = serializers.DictField(child=serializers.CharField())


GATEWAY_AWAY: dict[Any, Any] = {
    (502, "application/problem+json"): problem_response("The gateway's answer cannot be read"),
    (503, "application/problem+json"): problem_response("The gateway does not answer"),
    (504, "application/problem+json"): problem_response("The gateway did not answer in time"),
}


class Infer(APIView):
    write_right = INFER

    @extend_schema(
        summary="Ask a model, through the gateway, as the playground does",
        request=InferSerializer,
        responses={200: InferAnswerSerializer, **NOT_FOUND, **INVALID, **GATEWAY_AWAY, **PROBLEMS},
    )
    def post(self, request: Request, slug: str) -> Response:
        model = get_model(slug)
        given = InferSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        body = dict(given.validated_data)
        version = body.pop("version", None)
        answer = services.infer(model=model, body=body, actor=actor_of(request), version=version)
        shown = {
            "status": answer.status,
            "version": answer.version,
            "duration_ms": round(answer.duration_ms, 3),
            "timing_ms": answer.timing_ms,
            "headers": answer.headers,
            "body": answer.body,
            "snippets": snippets(model=model, body=body, version=version),
        }
        return Response(shown)
