"""REST of uploads: announce, send chunks at an offset, ask where it stands, complete or cancel.

A chunk is `PATCH` with `Upload-Offset`, at most 8 MiB, and its own SHA-256 in `Content-Digest` or `Repr-Digest`
(`sha-256=:base64:`) or `Upload-Checksum` (`sha256 base64`).
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import django_filters as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from console.jobs import services as jobs
from console.jobs.api import OperationSerializer, accepted
from console.lib.actors import actor_of
from console.lib.api_docs import CONFLICT, IDEMPOTENCY_KEY, INVALID, NOT_FOUND, PROBLEMS, problem_response
from console.lib.errors import Invalid, PreconditionMissing, TooLarge
from console.lib.filters import StrictFilterSet
from console.lib.idempotency import Idempotent
from console.lib.numbers import read_whole
from console.registry import selectors, services
from console.registry.api.serializers import CreateUploadSerializer, UploadSerializer
from console.registry.models import Upload

FULL: dict[Any, Any] = {
    (507, "application/problem+json"): problem_response("The quota or the disk is full; nothing was lost")
}
FIELD_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):")
READ_BYTES = 64 * 1024


class UploadFilter(StrictFilterSet):
    model = filters.CharFilter(field_name="model__name")

    class Meta:
        model = Upload
        fields: list[str] = []


class RawBody(BaseParser):
    """Leaves the stream alone: the view reads it, a piece at a time."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


def show_upload(upload: Upload, status: int = 200) -> Response:
    response = Response(UploadSerializer(upload).data, status=status)
    response["Upload-Offset"] = str(upload.offset_bytes)
    response["Upload-Length"] = str(upload.size_bytes)
    response["Cache-Control"] = "no-store"
    return response


@extend_schema_view(get=extend_schema(summary="List uploads under way"))
class Uploads(Idempotent, generics.ListAPIView[Upload]):
    queryset = Upload.objects.none()
    serializer_class = UploadSerializer
    filterset_class = UploadFilter
    idempotency_required = True

    def get_queryset(self) -> Any:
        return selectors.list_uploads()

    @extend_schema(
        summary="Announce a file; the same one announced again goes on where it stands",
        parameters=[IDEMPOTENCY_KEY],
        request=CreateUploadSerializer,
        responses={201: UploadSerializer, **NOT_FOUND, **CONFLICT, **INVALID, **FULL, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        given = CreateUploadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        upload = services.create_upload(
            model=selectors.get_model(values.pop("model")),
            size_bytes=values.pop("size"),
            actor=actor_of(request),
            **values,
        )
        response = show_upload(upload, 201)
        response["Location"] = f"{request.path}{upload.pk}/"
        return response


class OneUpload(generics.GenericAPIView[Upload]):
    queryset = Upload.objects.none()
    parser_classes = [RawBody]

    @extend_schema(
        summary="Where an upload stands; HEAD gives Upload-Offset alone",
        responses={200: UploadSerializer, **NOT_FOUND, **PROBLEMS},
    )
    def get(self, request: Request, pk: str) -> Response:
        return show_upload(selectors.get_upload(pk))

    @extend_schema(
        summary="Send a chunk",
        parameters=[
            OpenApiParameter("Upload-Offset", int, OpenApiParameter.HEADER, required=True),
            OpenApiParameter("Content-Digest", str, OpenApiParameter.HEADER, description="sha-256=:base64:"),
        ],
        request={"application/offset+octet-stream": OpenApiTypes.BINARY},
        responses={200: UploadSerializer, **NOT_FOUND, **CONFLICT, **INVALID, **FULL, **PROBLEMS},
    )
    def patch(self, request: Request, pk: str) -> Response:
        upload = selectors.get_upload(pk)
        offset = read_whole(request.headers.get("Upload-Offset", ""), otherwise=-1)
        if offset < 0:
            raise PreconditionMissing("Send Upload-Offset, the position at which this chunk begins; HEAD tells it.")
        upload = services.append_chunk(
            upload=upload, offset_bytes=offset, chunk=read_body(request), sha256=read_digest(request)
        )
        return show_upload(upload)

    @extend_schema(
        summary="Cancel an upload and forget its bytes", responses={204: None, **NOT_FOUND, **CONFLICT, **PROBLEMS}
    )
    def delete(self, request: Request, pk: str) -> Response:
        services.cancel_upload(upload=selectors.get_upload(pk), actor=actor_of(request))
        return Response(status=204)


class CompleteUpload(Idempotent):
    @extend_schema(
        summary="Check the whole file and make it a version; its validation is the operation",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: OperationSerializer, **NOT_FOUND, **CONFLICT, **INVALID, **FULL, **PROBLEMS},
    )
    def post(self, request: Request, pk: str) -> Response:
        _, operation = jobs.complete_upload(upload=selectors.get_upload(pk), actor=actor_of(request))
        return accepted(request, operation)


def read_body(request: Request) -> Iterator[bytes]:
    """The body in small pieces. What is announced as too long is refused unread."""
    announced = read_whole(request.headers.get("Content-Length", ""), otherwise=0)
    if announced > services.MAX_CHUNK_BYTES:
        raise TooLarge(f"A chunk has at most {services.MAX_CHUNK_BYTES} bytes; this one has {announced}.")
    while piece := request._request.read(READ_BYTES):
        yield piece


def read_digest(request: Request) -> str:
    """The chunk's SHA-256 in hexadecimal, from whichever header has it."""
    for name in ("Content-Digest", "Repr-Digest"):
        if found := FIELD_DIGEST.search(request.headers.get(name, "")):
            return base64.b64decode(found[1]).hex()
    algorithm, _, value = request.headers.get("Upload-Checksum", "").partition(" ")
    if algorithm.lower() in ("sha256", "sha-256"):
        try:
            return base64.b64decode(value.strip(), validate=True).hex()
        except (ValueError, binascii.Error):
            pass
    raise Invalid("Send the chunk's SHA-256: 'Content-Digest: sha-256=:<base64>:'. A damaged chunk must not be kept.")
