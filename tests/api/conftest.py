from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.live import LivePortal, live_portal


@pytest.fixture(scope="module")
def portal(
    pki: Path, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LivePortal]:
    """Return a running portal; its users and devices are gone when the module is done."""
    with django_db_blocker.unblock(), live_portal(pki, tmp_path_factory.mktemp("portal")) as running:
        yield running
