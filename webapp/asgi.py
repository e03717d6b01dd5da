"""The ASGI application: REST's hot paths go to raw handlers, sockets to Channels, the rest to Django."""

import gc
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

django_application = get_asgi_application()  # loads the apps, which the imports below need

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402

from chat.routing import websocket_urlpatterns  # noqa: E402
from webapp.api.plane import DataPlane  # noqa: E402
from webapp.mcp.door import McpDoor  # noqa: E402
from webapp.upload_bound import UploadBound  # noqa: E402

# What is loaded by now stays: looking through all of it again and again would hold up every stream.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)

application = ProtocolTypeRouter(
    {
        "http": DataPlane(fallback=McpDoor(fallback=UploadBound(fallback=django_application))),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
