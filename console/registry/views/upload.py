"""The upload of a version: announced, sent in chunks by script through the REST tree, resumed after an interruption."""

from django.http import HttpResponse
from django.shortcuts import render

from console.lib.pages import PageRequest, page
from console.lib.permissions import can, why_not
from console.lib.rights import NATIVE, OPERATE
from console.registry.choices import Format
from console.registry.selectors import get_model, list_uploads, storage_quota_bytes, storage_used_bytes
from console.registry.services import MAX_CHUNK_BYTES

CURL = """\
FILE=model.onnx
AUTH="Authorization: Bearer $SWITCHYARD_API_KEY"
SHA=$(sha256sum "$FILE" | cut -d' ' -f1)
ID=$(curl -sS {url} -H "$AUTH" -H "Idempotency-Key: $SHA" -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "format": "onnx", "filename": "'"$FILE"'",
       "size": '$(stat -c %s "$FILE")', "sha256": "'$SHA'"}}' |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
curl -sS -X PATCH {url}$ID/ -H "$AUTH" -H 'Upload-Offset: 0' \\
  -H "Content-Digest: sha-256=:$(openssl dgst -sha256 -binary "$FILE" | base64):" --data-binary @"$FILE"
curl -sS -X POST {url}$ID:complete -H "$AUTH" -H "Idempotency-Key: $ID"
"""


@page()
def upload(request: PageRequest, slug: str) -> HttpResponse:
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
        "curl": CURL.format(url=request.build_absolute_uri("/api/v1/uploads/"), model=model.name),
    }
    return render(request, "registry/upload.html", context)
