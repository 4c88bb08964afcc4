"""Make this portal the one of a backup."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from iotportal.backup import BackupError, restore


class Command(BaseCommand):
    """For a portal that does not run: no process may use the database meanwhile."""

    help = "Restore database, certificate authority and keys from a file that `backup` wrote."
    requires_system_checks = ()  # there may be no certificates yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--replace", action="store_true", help="throw away what the database holds now")

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore and say what to know."""
        try:
            told = restore(options["file"], replace=options["replace"])
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write("\n".join(("Restored.", *told)))
