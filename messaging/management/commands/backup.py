"""Write everything into one file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from iotportal.backup import BackupError, back_up


class Command(BaseCommand):
    """May run while the portal works: the database is read as it is at one moment."""

    help = "Back up database, certificate authority and keys into one file; PORTAL_BACKUP_PASSPHRASE encrypts it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it and say how it is protected."""
        try:
            size = back_up(options["file"])
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            how = "under the passphrase" if settings.BACKUP_PASSPHRASE else "NOT encrypted: it holds every key of this portal"
            self.stdout.write(f"{options['file']}: {size / 1e6:.1f} MB, {how}.")
