"""Write RabbitMQ's configuration."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from messaging.rabbitmq import config, names


class Command(BaseCommand):
    """`manage.py broker_config FOLDER`: rabbitmq.conf, enabled_plugins and definitions.json from the portal's settings."""

    help = "Write RabbitMQ's configuration (rabbitmq.conf, enabled_plugins, definitions.json) into a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where the files go and where RabbitMQ listens."""
        parser.add_argument("folder", type=Path)
        parser.add_argument("--bind", default=settings.BROKER_BIND, help="where devices and portal connect")
        parser.add_argument("--amqps", type=int, default=settings.AMQP_PORT, metavar="PORT")
        parser.add_argument("--mqtts", type=int, default=settings.DEVICE_PORT, metavar="PORT")
        parser.add_argument("--management", type=int, default=15672, metavar="PORT")
        parser.add_argument("--metrics", type=int, default=15692, metavar="PORT")
        parser.add_argument("--inside", default="127.0.0.1", help="where management and metrics listen")
        parser.add_argument("--pki", type=Path, default=settings.PKI_DIR, help="where RabbitMQ finds the certificates")
        parser.add_argument("--auth", default=settings.BROKER_AUTH_URL, metavar="URL", help="where it reaches run_broker_auth")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write them."""
        listeners = config.Listeners(
            options["bind"], options["amqps"], options["mqtts"], options["management"], options["metrics"], options["inside"]
        )
        url = options["auth"].rstrip("/") + names.auth_path()
        folder = options["folder"].resolve()
        try:
            written = config.write(folder, listeners, options["pki"].resolve(), url, passwords=settings.DEVICE_PASSWORDS)
        except OSError as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{folder}: wrote {', '.join(path.name for path in written)}")
