"""What the web server runs: the hot operation, then WebSockets and Django."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotportal.settings")
django_app = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  # Django must be set up before anything reads models
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402

from messaging.asgi import CommandApp  # noqa: E402
from messaging.routing import websocket_urlpatterns  # noqa: E402

application = CommandApp(
    ProtocolTypeRouter({"http": django_app, "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))})
)
