"""The console as an ASGI application: pages and API over HTTP, live frames over one WebSocket."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402  Django must be set up first

from console.lib.body_limit import BodyLimit  # noqa: E402
from console.telemetry.urls import websocket_urlpatterns  # noqa: E402

BODY_S = 120.0
http = BodyLimit(django_application, max_bytes=settings.UPLOAD_CHUNK_BYTES + 64 * 1024, timeout_s=BODY_S)
application = ProtocolTypeRouter(
    {"http": http, "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))}
)
