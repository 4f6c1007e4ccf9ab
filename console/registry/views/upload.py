"""The upload of a version: announced, sent in chunks by script through the REST tree, resumed after an interruption."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.lib.pages import page
from console.lib.permissions import can, why_not
from console.lib.rights import NATIVE, OPERATE
from console.registry.choices import Format
from console.registry.selectors import get_model, list_uploads, storage_quota_bytes, storage_used_bytes
from console.registry.services import MAX_CHUNK_BYTES


@page()
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    model = get_model(slug)
    context = {
        "model": model,
        "formats": [(item, item.label, item.runs_code) for item in Format],
        "uploads": list_uploads(model),
        "used_bytes": storage_used_bytes(),
        "quota_bytes": storage_quota_bytes(),
        "max_chunk_bytes": MAX_CHUNK_BYTES,
        "may_native": can(request.user, NATIVE),
        "why_not": why_not(request.user, OPERATE),
        "console_url": request.build_absolute_uri("/").rstrip("/"),
        "environment": settings.ENVIRONMENT,
    }
    return render(request, "registry/upload.html", context)
