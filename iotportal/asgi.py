"""What the web server runs: the hot operation, then WebSockets and Django."""

import os
from typing import Any, cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotportal.settings")
django_app = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  # Django must be set up before anything reads models
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from iotportal.body_limit import BodyLimit  # noqa: E402
from iotportal.cors import Cors  # noqa: E402
from iotportal.idempotency import Idempotency  # noqa: E402
from iotportal.origin import OwnOrigin  # noqa: E402
from messaging.asgi import CommandApp  # noqa: E402
from messaging.routing import websocket_urlpatterns  # noqa: E402

_origins = (settings.PORTAL_URL, *settings.CSRF_TRUSTED_ORIGINS)
pages = BodyLimit(cast(Any, django_app), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
live = OwnOrigin(cast(Any, AuthMiddlewareStack(URLRouter(websocket_urlpatterns))), _origins)
commands = Idempotency(CommandApp(cast(Any, ProtocolTypeRouter({"http": pages, "websocket": live}))))
application = Cors(commands, settings.CORS_ORIGINS) if settings.CORS_ORIGINS else commands
