"""REST of models and aliases."""

from typing import Any

import django_filters as filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.actors import actor_of
from console.lib.api_docs import CONFLICT, IDEMPOTENCY_KEY, IF_MATCH, INVALID, NOT_FOUND, PROBLEMS, STALE
from console.lib.errors import Missing
from console.lib.etag import check_match, etag_of, with_etag
from console.lib.filters import StrictFilterSet
from console.lib.idempotency import Idempotent
from console.registry import selectors, services
from console.registry.api.serializers import (
    AliasSerializer,
    ChangeModelSerializer,
    CreateModelSerializer,
    ModelSerializer,
    SetAliasSerializer,
)
from console.registry.models import Alias, Model
from console.serving import services as serving


class ModelFilter(StrictFilterSet):
    q = filters.CharFilter(method="search", help_text="Part of name, description or owner")
    tag = filters.CharFilter(method="by_tag")
    archived = filters.BooleanFilter(method="by_archived", help_text="true: archived ones instead of those in use")
    ordering = filters.OrderingFilter(fields=("name", "created_at", "updated_at"))

    class Meta:
        model = Model
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet[Model]) -> QuerySet[Model]:
        found = super().filter_queryset(queryset)
        archived = bool(self.form.cleaned_data.get("archived"))
        return found.filter(archived_at__isnull=not archived)

    def search(self, rows: QuerySet[Model], name: str, value: str) -> QuerySet[Model]:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value) | Q(owner__icontains=value))

    def by_tag(self, rows: QuerySet[Model], name: str, value: str) -> QuerySet[Model]:
        return rows.filter(tags__icontains=f'"{value}"')

    def by_archived(self, rows: QuerySet[Model], name: str, value: bool) -> QuerySet[Model]:
        return rows  # decided in filter_queryset, where its absence counts too


def model_etag(model: Model) -> str:
    return etag_of("model", model.name, model.row_version)


def show_model(request: Request, model: Model, status: int = 200) -> Response:
    return with_etag(request, Response(ModelSerializer(model).data, status=status), model_etag(model))


@extend_schema_view(get=extend_schema(summary="List models"))
class Models(Idempotent, generics.ListAPIView[Model]):
    queryset = Model.objects.none()
    serializer_class = ModelSerializer
    filterset_class = ModelFilter

    def get_queryset(self) -> Any:
        return selectors.all_models()

    @extend_schema(
        summary="Register a model",
        parameters=[IDEMPOTENCY_KEY],
        request=CreateModelSerializer,
        responses={201: ModelSerializer, **CONFLICT, **INVALID, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        given = CreateModelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        model = services.create_model(actor=actor_of(request), **given.validated_data)
        response = show_model(request, model, 201)
        response["Location"] = f"{request.path}{model.name}/"
        return response


class OneModel(generics.GenericAPIView[Model]):
    queryset = Model.objects.none()

    @extend_schema(summary="Read a model", responses={200: ModelSerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, slug: str) -> Response:
        return show_model(request, selectors.get_model(slug))

    @extend_schema(
        summary="Change a model's description, owner, tags or targets",
        parameters=[IF_MATCH],
        request=ChangeModelSerializer,
        responses={200: ModelSerializer, **NOT_FOUND, **STALE, **INVALID, **PROBLEMS},
    )
    def patch(self, request: Request, slug: str) -> Response:
        model = selectors.get_model(slug)
        check_match(request, model_etag(model), lambda: ModelSerializer(model).data)
        given = ChangeModelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changes = dict(given.validated_data)
        return show_model(
            request,
            services.update_model(model=model, changes=changes, seen=model.row_version, actor=actor_of(request)),
        )

    @extend_schema(
        summary="Archive a model: it stops serving, and can be restored",
        parameters=[IF_MATCH],
        responses={200: ModelSerializer, **NOT_FOUND, **CONFLICT, **STALE, **PROBLEMS},
    )
    def delete(self, request: Request, slug: str) -> Response:
        model = selectors.get_model(slug)
        check_match(request, model_etag(model), lambda: ModelSerializer(model).data)
        return show_model(request, serving.archive_model(model=model, seen=model.row_version, actor=actor_of(request)))


class RestoreModel(Idempotent):
    @extend_schema(
        summary="Serve an archived model again, as it was",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: ModelSerializer, **NOT_FOUND, **CONFLICT, **PROBLEMS},
    )
    def post(self, request: Request, slug: str) -> Response:
        model = selectors.get_model(slug)
        return show_model(request, serving.restore_model(model=model, seen=model.row_version, actor=actor_of(request)))


def alias_etag(alias: Alias) -> str:
    return etag_of("alias", f"{alias.model.name}@{alias.name}", alias.row_version)


def show_alias(request: Request, alias: Alias, status: int = 200) -> Response:
    return with_etag(request, Response(AliasSerializer(alias).data, status=status), alias_etag(alias))


class Aliases(generics.ListAPIView[Alias]):
    queryset = Alias.objects.none()
    serializer_class = AliasSerializer

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return selectors.list_aliases(selectors.get_model(self.kwargs["slug"]))

    @extend_schema(summary="List a model's aliases")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class OneAlias(generics.GenericAPIView[Alias]):
    queryset = Alias.objects.none()

    @extend_schema(summary="Read an alias", responses={200: AliasSerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, slug: str, name: str) -> Response:
        return show_alias(request, selectors.get_alias(selectors.get_model(slug), name))

    @extend_schema(
        summary="Point an alias at a version; made where it is new, with If-None-Match: * or any If-Match",
        request=SetAliasSerializer,
        responses={200: AliasSerializer, 201: AliasSerializer, **NOT_FOUND, **CONFLICT, **STALE, **INVALID, **PROBLEMS},
    )
    def put(self, request: Request, slug: str, name: str) -> Response:
        model = selectors.get_model(slug)
        given = SetAliasSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        to = selectors.get_version(model, given.validated_data["version"])
        seen = self.seen(request, model, name)
        alias = services.set_alias(model=model, name=name, to=to, seen=seen, actor=actor_of(request))
        return show_alias(request, alias, 200 if seen else 201)

    def seen(self, request: Request, model: Model, name: str) -> int:
        """The row version that the change is based on; 0 where the caller saw no such alias."""
        try:
            held = selectors.get_alias(model, name)
        except Missing:
            return 0
        if request.headers.get("If-None-Match", "").strip() == "*":
            return 0  # asked for a new one: the service says that it is there
        check_match(request, alias_etag(held), lambda: AliasSerializer(held).data)
        return held.row_version

    @extend_schema(
        summary="Delete an alias",
        parameters=[IF_MATCH],
        responses={204: None, **NOT_FOUND, **STALE, **INVALID, **PROBLEMS},
    )
    def delete(self, request: Request, slug: str, name: str) -> Response:
        alias = selectors.get_alias(selectors.get_model(slug), name)
        check_match(request, alias_etag(alias), lambda: AliasSerializer(alias).data)
        services.delete_alias(alias=alias, seen=alias.row_version, actor=actor_of(request))
        return Response(status=204)
