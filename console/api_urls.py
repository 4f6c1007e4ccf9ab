"""The REST tree under /api/v1/: one line an app."""

from django.urls import include, path

urlpatterns = [
    path("", include("console.lib.api_urls")),
    path("", include("console.accounts.api_urls")),
]
