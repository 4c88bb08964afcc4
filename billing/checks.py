"""What is wrong with the settings by which credits are sold, told by `manage.py check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error


def check_payments(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that the provider of new orders has what it needs: a shop that is set up by half takes money and gives nothing."""
    from billing import providers  # with PayPal's libraries, which only who checks has to load

    provider = providers.current()
    missing = provider.missing() if provider is not None else []
    if provider is None or not missing:
        return []
    hint = f"Set {' and '.join(missing)} too, or PORTAL_PAYMENTS=off. See docs/billing.md."
    return [Error(f"PORTAL_PAYMENTS is {provider.name}, which is set up by half.", hint=hint, id="billing.E001")]
