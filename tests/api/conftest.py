from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schemathesis.pytest.plugin import SchemathesisFunction

from tests.api.live import LivePortal, live_portal


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist one worker has all tests of this folder, as they share one portal.

    Schemathesis calls all operations of a test by the test's name, and xdist runs one of those that have the same.
    """
    for item in items:
        if isinstance(item, SchemathesisFunction):
            item._id = item.id.with_params(item.name.partition("[")[2].removesuffix("]"))
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("api"))


@pytest.fixture(scope="package")
def portal(
    pki: Path, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LivePortal]:
    """Return a running portal; its users and devices are gone when the folder's tests are done."""
    with django_db_blocker.unblock(), live_portal(pki, tmp_path_factory.mktemp("portal")) as running:
        yield running
