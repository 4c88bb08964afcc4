"""Take in an issuing CA, and its root, from elsewhere."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices import pki, services


class Command(BaseCommand):
    """Into an empty PORTAL_PKI_DIR, or in place of the present issuing CA, which is let in until its certificates have ended."""

    help = "Take in an issuing CA that was made elsewhere, with its root. The root's key is not wanted."
    requires_system_checks: list[str] = []  # the checks look at what this command brings

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the files."""
        parser.add_argument("--issuing", type=Path, required=True, metavar="PEM", help="certificate of the issuing CA")
        parser.add_argument("--issuing-key", type=Path, required=True, metavar="PEM", help="its key, not encrypted")
        parser.add_argument("--root", type=Path, metavar="PEM", help="certificate of the root, unless it is the one that is here")
        parser.add_argument(
            "--replace-root",
            action="store_true",
            help="take another root than the present one: every device needs new files, as it will not trust the broker any more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Take it in and say what was written."""
        brought = pki.Brought(options["issuing"], options["issuing_key"], options["root"])
        try:
            written = pki.bring(brought, replace_root=options["replace_root"])
            services.publish_lists()
        except (pki.PkiError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{settings.PKI_DIR}: wrote {', '.join(written)}")
            self.stdout.write("Restart the web processes and workers if PORTAL_PKI_DIR is not the folder that they read.")
