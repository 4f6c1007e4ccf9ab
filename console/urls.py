"""Every address of the console. Pages live in the apps' `urls.py`, the REST tree in `api_urls.py`."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("", include("console.telemetry.urls")),
    path("", include("console.registry.urls")),
    path("", include("console.fleet.urls")),
    path("", include("console.serving.urls")),
    path("", include("console.accounts.urls")),
    path("api/v1/", include("console.api_urls")),
]
