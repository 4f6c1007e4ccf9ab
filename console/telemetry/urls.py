"""Pages: the overview and the dashboards. Socket: one for everything live."""

from django.urls import URLPattern, path

from console.telemetry.consumers import StreamConsumer

urlpatterns: list[URLPattern] = []
websocket_urlpatterns: list[URLPattern] = [path("ws/v1/stream", StreamConsumer.as_asgi())]
