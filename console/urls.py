"""Every address of the console. Pages live in the apps' `urls.py`, the REST tree in `api_urls.py`."""

from django.urls import include, path

from console.lib.views import api_docs, healthz, metrics, readyz

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("accounts/", include("console.accounts.allauth_urls")),
    path("api/docs/", api_docs, name="api_docs"),
    path("api/v1/", include("console.api_urls")),
    path("", include("console.telemetry.urls")),
    path("", include("console.registry.urls")),
    path("", include("console.fleet.urls")),
    path("", include("console.serving.urls")),
    path("", include("console.accounts.urls")),
]

handler400 = "console.lib.error_pages.bad_request"
handler403 = "console.lib.error_pages.permission_denied"
handler404 = "console.lib.error_pages.page_not_found"
handler500 = "console.lib.error_pages.server_error"
