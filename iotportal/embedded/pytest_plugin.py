"""Servers and settings for tests; the top conftest.py loads it before any other test code.

Django's settings are read when the first test module imports a model, so the servers must run and the environment must be
set before that: `begin` does it as soon as this module is imported. With pytest-xdist the process that hands out the
tests starts the one PostgreSQL, whose address the workers inherit (pytest-django gives each worker a database of its own);
every process has a Valkey and a state folder of its own.
"""

import atexit
import base64
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.nodeid import NodeId

from iotportal import uuid7
from iotportal.embedded.throwaway import ThrowawayServers

_SETTINGS = "iotportal.settings"
_servers: ThrowawayServers | None = None


def begin() -> None:
    """Start the servers of this process, set the environment and Django up. Safe to call twice."""
    global _servers
    if _servers is not None:
        return
    _servers = ThrowawayServers()
    atexit.register(pytest_unconfigure)  # pytest stops by itself only once it has begun
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    environment = {
        "DJANGO_SETTINGS_MODULE": _SETTINGS,
        "PORTAL_SECRET_KEY": secrets.token_urlsafe(50),
        "PORTAL_SEAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "PORTAL_STATE_DIR": str(_servers.state.root),
        "PORTAL_PKI_DIR": str(_servers.state.pki),
        "PORTAL_URL": "http://localhost",
        "PORTAL_ADMIN_REQUIRES_FACTOR": "false",  # the staff of most tests has none; what is about the factor switches it on
        "DATABASE_URL": os.environ["DATABASE_URL"] if is_worker else _servers.start_postgres(),
        "VALKEY_URL": _servers.start_valkey(),
    }
    for name in [name for name in os.environ if name.startswith("PORTAL_") or name.removesuffix("_FILE") in environment]:
        del os.environ[name]  # whatever the shell had set is not the tests' business
    os.environ.pop("CELERY_BROKER_URL", None)
    os.environ.update(environment)
    _set_up_django()
    if not is_worker:
        # Workers inherit this environment, and pytest-django would read the settings in them before `begin` ran there.
        del os.environ["DJANGO_SETTINGS_MODULE"]


def _set_up_django() -> None:
    import django
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # hundreds of users, none of them real
    settings.DATABASES["default"]["POOL"] = 0  # a database is not copied nor dropped while anybody is connected to it
    settings.WHITENOISE_AUTOREFRESH = True  # each test client loads the middlewares anew, and would read all static files
    django.setup()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse two tests of one name: pytest-xdist would run one of them and say that both passed.

    And put a test's group behind its name, where pytest-xdist looks for it: it does so itself, but with a field that pytest 9.2
    does not read any more, and so gave the tests that share a portal to all workers, each with a portal of its own.
    """
    for item in items if getattr(config.option, "loadgroup", False) else ():
        group = item.get_closest_marker("xdist_group")
        if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
            item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")
    names = Counter(item.nodeid for item in items)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise pytest.UsageError(f"tests of the same name: {', '.join(twice[:5])}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin each test with ids of now: one that sets the clock forward leaves ids that later ones would have to follow."""
    uuid7._last_ns = 0


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Name the settings again for the processes that tests start; xdist's workers are told apart by `begin`."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["DJANGO_SETTINGS_MODULE"] = _SETTINGS


def pytest_unconfigure() -> None:
    """Stop the servers of this process."""
    global _servers
    if _servers is not None:
        _servers.stop()
        _servers = None


@pytest.fixture(scope="session")
def state_dir() -> Path:
    """Return this process's state folder (`PORTAL_STATE_DIR`); it goes away with the test run."""
    assert _servers is not None  # noqa: S101 - begin() ran
    return _servers.state.root


@pytest.fixture(scope="session")
def pki() -> Path:
    """Make the certificate authority and the portal's own certificates; returns their folder (`PORTAL_PKI_DIR`)."""
    from django.conf import settings
    from django.core.management import call_command

    call_command("setup_pki", "--name", "localhost", "--name", "127.0.0.1", verbosity=0)
    return Path(settings.PKI_DIR)


@pytest.fixture
def clean_valkey() -> Iterator[None]:
    """Empty this process's Valkey before and after the test: counters, locks, streams, cache, sessions."""
    import redis
    from django.conf import settings

    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        link.flushall()
        yield
        link.flushall()


begin()
