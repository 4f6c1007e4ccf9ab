"""Pages: the overview and the dashboards. Socket: one for everything live."""

from django.urls import URLPattern, path

from console.telemetry import views
from console.telemetry.consumers import StreamConsumer

urlpatterns: list[URLPattern] = [
    path("", views.overview, name="overview"),
    path("dashboards/", views.dashboards, name="dashboards"),
    path("dashboards/<str:kind>/", views.dashboard, name="dashboard"),
]
websocket_urlpatterns: list[URLPattern] = [path("ws/v1/stream", StreamConsumer.as_asgi())]
