"""REST of versions: their facts, their files, and what can be done to them."""

from collections.abc import Callable
from typing import Any

import django_filters as filters
from django.db.models import QuerySet
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.jobs import services as jobs
from console.jobs.api import OperationSerializer, accepted
from console.lib.actors import Actor, actor_of
from console.lib.api_docs import CONFLICT, IDEMPOTENCY_KEY, IF_MATCH, INVALID, NOT_FOUND, PROBLEMS, STALE
from console.lib.errors import Invalid, Missing
from console.lib.etag import check_match, etag_of, with_etag
from console.lib.filters import StrictFilterSet, check_parameters
from console.lib.idempotency import Idempotent
from console.registry import selectors, services, store
from console.registry.api.ranges import ranged_file
from console.registry.api.serializers import ChangeVersionSerializer, VersionSerializer
from console.registry.choices import Format, VersionState
from console.registry.models import Version
from console.serving import services as serving


class VersionFilter(StrictFilterSet):
    state = filters.MultipleChoiceFilter(choices=VersionState.choices)
    format = filters.MultipleChoiceFilter(choices=Format.choices)
    ordering = filters.OrderingFilter(fields=("number", "created_at"))

    class Meta:
        model = Version
        fields: list[str] = []


class FromUploadSerializer(serializers.Serializer[Any]):
    upload = serializers.CharField(max_length=26, help_text="Id of an upload whose bytes are all there")


def version_etag(version: Version) -> str:
    return etag_of("version", f"{version.model.name}-{version.number}", version.row_version)


def show_version(request: Request, version: Version) -> Response:
    return with_etag(request, Response(VersionSerializer(version).data), version_etag(version))


def find_version(slug: str, number: int) -> Version:
    return selectors.get_version(selectors.get_model(slug), number)


class Versions(Idempotent, generics.ListAPIView[Version]):
    queryset = Version.objects.none()
    serializer_class = VersionSerializer
    filterset_class = VersionFilter

    def get_queryset(self) -> QuerySet[Version]:
        if getattr(self, "swagger_fake_view", False):
            return Version.objects.none()
        found = selectors.list_versions(selectors.get_model(self.kwargs["slug"]))
        return found.prefetch_related("artifact__files")

    @extend_schema(summary="List a model's versions, newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Make a finished upload a version; its validation is the operation",
        parameters=[IDEMPOTENCY_KEY],
        request=FromUploadSerializer,
        responses={202: OperationSerializer, **NOT_FOUND, **CONFLICT, **INVALID, **PROBLEMS},
    )
    def post(self, request: Request, slug: str) -> Response:
        given = FromUploadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        upload = selectors.get_upload(given.validated_data["upload"])
        if upload.model.name != slug:
            raise Missing(f"Upload {upload.pk} is for another model.")
        _, operation = jobs.complete_upload(upload=upload, actor=actor_of(request))
        return accepted(request, operation)


class OneVersion(generics.GenericAPIView[Version]):
    queryset = Version.objects.none()

    @extend_schema(summary="Read a version", responses={200: VersionSerializer, **NOT_FOUND, **PROBLEMS})
    def get(self, request: Request, slug: str, number: int) -> Response:
        return show_version(request, find_version(slug, number))

    @extend_schema(
        summary="Change a version's notes; all else of it is immutable",
        parameters=[IF_MATCH],
        request=ChangeVersionSerializer,
        responses={200: VersionSerializer, **NOT_FOUND, **STALE, **INVALID, **PROBLEMS},
    )
    def patch(self, request: Request, slug: str, number: int) -> Response:
        version = find_version(slug, number)
        check_match(request, version_etag(version), lambda: VersionSerializer(version).data)
        given = ChangeVersionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = services.update_notes(
            version=version, seen=version.row_version, actor=actor_of(request), **given.validated_data
        )
        return show_version(request, changed)

    @extend_schema(
        summary="Delete a version for good, with the files that no other version has",
        parameters=[IF_MATCH],
        responses={204: None, **NOT_FOUND, **CONFLICT, **STALE, **PROBLEMS},
    )
    def delete(self, request: Request, slug: str, number: int) -> Response:
        version = find_version(slug, number)
        check_match(request, version_etag(version), lambda: VersionSerializer(version).data)
        services.delete_version(version=version, seen=version.row_version, actor=actor_of(request))
        return Response(status=204)


def keep(version: Version, actor: Actor) -> Version:
    serving.keep_loaded(version=version, actor=actor)
    return version


def release(version: Version, actor: Actor) -> Version:
    serving.release_version(version=version, actor=actor)
    return version


def archive(version: Version, actor: Actor) -> Version:
    return services.archive_version(version=version, seen=version.row_version, actor=actor)


def restore(version: Version, actor: Actor) -> Version:
    return services.restore_version(version=version, seen=version.row_version, actor=actor)


class ChangeState(Idempotent):
    """One verb on a version that is done at once."""

    act: Callable[[Version, Actor], Version]

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: VersionSerializer, **NOT_FOUND, **CONFLICT, **PROBLEMS},
    )
    def post(self, request: Request, slug: str, number: int) -> Response:
        return show_version(request, type(self).act(find_version(slug, number), actor_of(request)))


@extend_schema(summary="Load a version and keep it loaded")
class WarmVersion(ChangeState):
    act = staticmethod(keep)


@extend_schema(summary="No longer keep a version loaded")
class ReleaseVersion(ChangeState):
    act = staticmethod(release)


@extend_schema(summary="Put a version away; it keeps its files and number")
class ArchiveVersion(ChangeState):
    act = staticmethod(archive)


@extend_schema(summary="Bring an archived version back")
class RestoreVersion(ChangeState):
    act = staticmethod(restore)


class VerifyVersion(Idempotent):
    @extend_schema(
        summary="Validate a new version, or compare a stored one's files with their digests",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: OperationSerializer, **NOT_FOUND, **CONFLICT, **PROBLEMS},
    )
    def post(self, request: Request, slug: str, number: int) -> Response:
        return accepted(request, jobs.verify_version(version=find_version(slug, number), actor=actor_of(request)))


class ExportVersion(Idempotent):
    @extend_schema(
        summary="Export a safetensors version to ONNX, as a new version",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: OperationSerializer, **NOT_FOUND, **CONFLICT, **INVALID, **PROBLEMS},
    )
    def post(self, request: Request, slug: str, number: int) -> Response:
        return accepted(request, jobs.export_version(version=find_version(slug, number), actor=actor_of(request)))


class VersionArtifact(APIView):
    """The files themselves, one at a time, in ranges where asked."""

    @extend_schema(
        summary="Download one file of a version",
        parameters=[
            OpenApiParameter("path", str, description="Which file; may be left out where there is one only"),
            OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="Such as bytes=0-1023"),
        ],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            **NOT_FOUND,
            **INVALID,
            **PROBLEMS,
        },
    )
    def get(self, request: Request, slug: str, number: int) -> HttpResponseBase:
        check_parameters(request.query_params, {"path"})
        version = find_version(slug, number)
        files = {file.path: file for file in selectors.list_files(version)}
        path = request.query_params.get("path") or (next(iter(files)) if len(files) == 1 else "")
        if not path:
            raise Invalid.field("path", f"Say which file with ?path=: {', '.join(files) or 'there are none'}.")
        if path not in files:
            raise Missing(f"{version} has no file {path!r}; it has: {', '.join(files) or 'none'}.")
        file = files[path]
        return ranged_file(request, store.blob_path(file.sha256), path.rpartition("/")[2], f'"{file.sha256}"')
