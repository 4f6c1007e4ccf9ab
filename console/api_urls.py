"""The REST tree under /api/v1/: one line an app."""

from django.urls import include, path

urlpatterns = [
    path("", include("console.lib.api_urls")),
    path("", include("console.accounts.api_urls")),
    path("", include("console.registry.api_urls")),
    path("", include("console.serving.api_urls")),
    path("", include("console.fleet.api_urls")),
    path("", include("console.jobs.api_urls")),
    path("", include("console.telemetry.api_urls")),
]
