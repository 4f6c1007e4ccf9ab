"""API keys. The text of a key stands once, in the answer that made it."""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from console.accounts.choices import Scope
from console.accounts.filters import ApiKeyFilter
from console.accounts.models import ApiKey
from console.accounts.selectors import get_api_key, list_api_keys, state_of
from console.accounts.services import create_api_key, revoke_api_key, rotate_api_key, update_api_key
from console.accounts.services.keys import KEEP, NewKey
from console.lib.actors import actor_of
from console.lib.api_docs import CONFLICT, IDEMPOTENCY_KEY, IF_MATCH, INVALID, NOT_FOUND, STALE
from console.lib.csv_export import CsvList
from console.lib.etag import check_match, etag_of, with_etag
from console.lib.idempotency import Idempotent
from console.lib.rights import READ


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    owner = serializers.CharField(source="owner.username", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices))
    models = serializers.ListField(source="allowed_models", child=serializers.CharField(), allow_null=True)
    state = serializers.SerializerMethodField()
    replaces = serializers.IntegerField(source="replaces_id", allow_null=True, read_only=True)

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "id", "name", "owner", "prefix", "scopes", "models", "state", "created_at", "expires_at", "revoked_at",
            "last_used_at", "replaces", "row_version",
        )  # fmt: skip
        read_only_fields = fields

    def get_state(self, key: ApiKey) -> str:
        return state_of(key)


class NewKeySerializer(ApiKeySerializer):
    secret = serializers.CharField(read_only=True, help_text="The key itself: shown this once, stored nowhere.")

    class Meta(ApiKeySerializer.Meta):
        fields: tuple[str, ...] = (*ApiKeySerializer.Meta.fields, "secret")
        read_only_fields = fields


class CreateKeySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices), min_length=1)
    models = serializers.ListField(child=serializers.CharField(max_length=63), allow_null=True, default=None)
    expires_at = serializers.DateTimeField(allow_null=True, default=None)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class ChangeKeySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80, required=False)
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices), min_length=1, required=False)
    models = serializers.ListField(child=serializers.CharField(max_length=63), allow_null=True, required=False)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class RotateKeySerializer(serializers.Serializer[Any]):
    overlap_s = serializers.IntegerField(default=86_400, min_value=0, max_value=7 * 86_400)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


def etag(key: ApiKey) -> str:
    return etag_of("api-key", key.pk, key.row_version)


def show_new(request: Request, new: NewKey) -> Response:
    body = dict(ApiKeySerializer(new.key).data) | {"secret": new.secret}
    headers = {"Location": f"{request.path.split(':')[0].rsplit('api-keys', 1)[0]}api-keys/{new.key.pk}/"}
    return with_etag(request, Response(body, status=201, headers=headers), etag(new.key))


@extend_schema_view(get=extend_schema(summary="List API keys: one's own; an admin sees everyone's"))
class ApiKeys(Idempotent, CsvList[ApiKey]):
    queryset = ApiKey.objects.none()
    serializer_class = ApiKeySerializer
    filterset_class = ApiKeyFilter
    write_right = READ  # everyone makes keys for themselves; the service bounds what a key may do
    never_stored = ("secret",)  # a repeat shows the key it made, without its text

    def get_queryset(self) -> Any:
        return list_api_keys(actor_of(self.request), everyone=True)

    @extend_schema(
        summary="Make an API key",
        parameters=[IDEMPOTENCY_KEY],
        request=CreateKeySerializer,
        responses={201: NewKeySerializer, **INVALID},
    )
    def post(self, request: Request) -> Response:
        given = CreateKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return show_new(request, create_api_key(actor=actor_of(request), **given.validated_data))


class OneApiKey(generics.GenericAPIView[ApiKey]):
    queryset = ApiKey.objects.none()
    write_right = READ

    @extend_schema(summary="Read one API key", responses={200: ApiKeySerializer, **NOT_FOUND})
    def get(self, request: Request, pk: int) -> Response:
        key = get_api_key(actor_of(request), pk)
        return with_etag(request, Response(ApiKeySerializer(key).data), etag(key))

    @extend_schema(
        summary="Change name, scopes or models of a key",
        parameters=[IF_MATCH],
        request=ChangeKeySerializer,
        responses={200: ApiKeySerializer, **NOT_FOUND, **CONFLICT, **STALE, **INVALID},
    )
    def patch(self, request: Request, pk: int) -> Response:
        key = get_api_key(actor_of(request), pk)
        check_match(request, etag(key), lambda: ApiKeySerializer(key).data)
        given = ChangeKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changes = {"models": KEEP} | given.validated_data
        changed = update_api_key(actor=actor_of(request), key=key, seen=key.row_version, **changes)
        return with_etag(request, Response(ApiKeySerializer(changed).data), etag(changed))

    @extend_schema(
        summary="Revoke a key; gateways refuse it within a second",
        parameters=[IF_MATCH],
        responses={204: None, **NOT_FOUND, **STALE},
    )
    def delete(self, request: Request, pk: int) -> Response:
        key = get_api_key(actor_of(request), pk)
        check_match(request, etag(key), lambda: ApiKeySerializer(key).data)
        revoke_api_key(actor=actor_of(request), key=key)
        return Response(status=204)


class RotateApiKey(Idempotent):
    write_right = READ
    never_stored = ("secret",)  # a repeat shows the key it made, without its text

    @extend_schema(
        summary="Replace a key; the old one goes on for the overlap",
        parameters=[IDEMPOTENCY_KEY],
        request=RotateKeySerializer,
        responses={201: NewKeySerializer, **NOT_FOUND, **CONFLICT, **INVALID},
    )
    def post(self, request: Request, pk: int) -> Response:
        key = get_api_key(actor_of(request), pk)
        given = RotateKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        overlap = timedelta(seconds=given.validated_data["overlap_s"])
        new = rotate_api_key(actor=actor_of(request), key=key, overlap=overlap, reason=given.validated_data["reason"])
        return show_new(request, new)
