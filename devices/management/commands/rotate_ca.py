"""Make a new issuing CA and issue with it from now on."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices import pki, services


class Command(BaseCommand):
    """Needs the root's key. A broker that runs reads its files at its start, so restart it: it then trusts both."""

    help = "Make a new issuing CA under the root; the old one is let in until none of its certificates is good any more."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate and say what was written."""
        try:
            written = pki.rotate()
            services.publish_lists()
        except (pki.PkiError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{settings.PKI_DIR}: wrote {', '.join(written)}")
            self.stdout.write(f"Issuing with {pki.authority().id} from now on.")
            self.stdout.write("Restart the broker now: until then it refuses devices with new certificates.")
