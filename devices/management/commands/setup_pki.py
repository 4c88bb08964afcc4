"""Make the certificate authority and the portal's own certificates."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices import pki


class Command(BaseCommand):
    """Make what is missing in PORTAL_PKI_DIR and renew what ends soon; safe to run at every start, and by several at once."""

    help = "Make the certificate authority and the broker's and portal's certificates, or renew what ends within 30 days."
    requires_system_checks: list[str] = []  # the checks look at what this command repairs

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add --name."""
        parser.add_argument(
            "--name",
            action="append",
            metavar="HOST",
            help="host name or address at which devices reach the broker, beside localhost and PORTAL_DEVICE_HOST; may be "
            "repeated, replaces those given before (without it they are kept)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up and say what was written."""
        try:
            written = pki.set_up(options["name"])
        except (pki.PkiError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{settings.PKI_DIR}: " + (f"wrote {', '.join(written)}" if written else "nothing to do"))
