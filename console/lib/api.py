"""The root of the REST tree, and the state of the system."""

import platform
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from console.lib.health import as_dict, check_dependencies
from console.lib.outbox import current_epoch

ROOTS = ("me", "models", "uploads", "workers", "api-keys", "users", "roles", "audit", "operations", "metrics/series")


class RootSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    time = serializers.DateTimeField()
    docs = serializers.CharField()
    schema = serializers.CharField()
    links = serializers.DictField(child=serializers.CharField())


class CheckSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    ms = serializers.FloatField()
    detail = serializers.CharField()
    required: Any = serializers.BooleanField()


class HealthSerializer(serializers.Serializer[Any]):
    ready = serializers.BooleanField()
    checks = serializers.DictField(child=CheckSerializer())


class InfoSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    environment = serializers.CharField()
    epoch = serializers.CharField(help_text="Names this life of the database")
    database = serializers.CharField()
    python = serializers.CharField()
    django = serializers.CharField()
    gateway_url = serializers.CharField()
    time = serializers.DateTimeField()


class Root(APIView):
    @extend_schema(summary="Where everything is", responses={200: RootSerializer})
    def get(self, request: Request) -> Response:
        here = request.build_absolute_uri(request.path)
        found = {
            "version": settings.VERSION,
            "time": timezone.now(),
            "docs": reverse("api_docs", request=request),
            "schema": reverse("schema", request=request),
            "links": {name: f"{here}{name}/" for name in ROOTS},
        }
        return Response(RootSerializer(found).data)


class Health(APIView):
    @extend_schema(summary="Is the console well", responses={200: HealthSerializer})
    def get(self, request: Request) -> Response:
        checks = check_dependencies()
        return Response({"ready": all(check.ok for check in checks if check.required), "checks": as_dict(checks)})


class Info(APIView):
    @extend_schema(summary="What runs here", responses={200: InfoSerializer})
    def get(self, request: Request) -> Response:
        found = {
            "version": settings.VERSION,
            "environment": settings.ENVIRONMENT,
            "epoch": current_epoch(),
            "database": connection.vendor,
            "python": platform.python_version(),
            "django": django.get_version(),
            "gateway_url": settings.GATEWAY_URL,
            "time": timezone.now(),
        }
        return Response(InfoSerializer(found).data)
