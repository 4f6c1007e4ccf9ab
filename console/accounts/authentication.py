"""DRF: an API key in the Authorization header. The key itself becomes `request.user`, for it is who acts."""

import hashlib

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from console.accounts.models import ApiKey
from console.accounts.services import note_key_use


class BearerKey(BaseAuthentication):
    """`Authorization: Bearer sy_…`. Another scheme, or none, is left to the session."""

    def authenticate(self, request: Request) -> tuple[ApiKey, ApiKey] | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = hashlib.sha256(secret.strip().encode()).hexdigest()
        key = ApiKey.objects.select_related("owner").filter(sha256=digest).first()
        if key is None or not key.is_valid_at(timezone.now()):
            raise AuthenticationFailed("The API key is not known, was revoked or has expired. Make one under Settings.")
        note_key_use(key)
        return key, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="switchyard"'


class BearerKeyScheme(OpenApiAuthenticationExtension):
    target_class = BearerKey
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key, `sy_…`, with the scopes it needs."}
