"""Make the demo user with its simulated devices."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices import pki
from devices.demo import USERNAME, WELL_KNOWN, NoDemo, set_up_demo


class Command(BaseCommand):
    """Safe to run at every start: what is there stays as it is, what the demo user deleted stays deleted."""

    help = "Make the demo user and its devices once, and write the folders from which they are simulated."

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up and say what is there."""
        if settings.HTTPS and settings.DEMO_PASSWORD == WELL_KNOWN:
            raise CommandError("A portal that is served over HTTPS needs a PORTAL_DEMO_PASSWORD that is not known to all.")
        try:
            state = set_up_demo(password=settings.DEMO_PASSWORD, directory=Path(settings.STATE_DIR) / "simulators")
        except (NoDemo, pki.PkiError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            verb = "made" if state.created else "there"
            self.stdout.write(
                f"user {USERNAME}: {verb}; simulators: {', '.join(folder.name for folder in state.folders) or 'none'}"
            )
