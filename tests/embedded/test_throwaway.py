"""The servers that tests run on: started from wheels, with a password, and gone when the process is."""

import os
import tempfile
from pathlib import Path

import psycopg2
import pytest
import redis
from django.conf import settings
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from iotportal.embedded.lock import RunLock
from iotportal.embedded.state import State
from iotportal.embedded.throwaway import ThrowawayServers


@pytest.mark.django_db
def test_it_gives_tests_a_real_postgresql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        (version,) = cursor.fetchone()
        cursor.execute("SHOW listen_addresses")
        (addresses,) = cursor.fetchone()
    assert int(version) >= 180000
    assert addresses == "127.0.0.1"


def test_it_refuses_postgresql_without_the_password() -> None:
    database = settings.DATABASES["default"]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host=database["HOST"], port=database["PORT"], user=database["USER"], password="guess", dbname="postgres")


def test_it_gives_tests_a_real_valkey_of_their_own(clean_valkey: None) -> None:
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        assert link.dbsize() == 0
        link.set("seen", os.getpid())
        assert link.get("seen") == str(os.getpid()).encode()


def test_it_refuses_valkey_without_the_password() -> None:
    port = settings.VALKEY_URL.rpartition(":")[2].partition("/")[0]
    with redis.Redis(port=int(port), retry=Retry(NoBackoff(), 0)) as link, pytest.raises(redis.exceptions.AuthenticationError):
        link.ping()


def test_it_sweeps_up_after_killed_test_runs_but_not_after_running_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("killed", "running", "young"):
        State(tmp_path / f"iotportal-tests-{name}").make()
    lock = RunLock(State(tmp_path / "iotportal-tests-running")).take("")
    for name in ("killed", "running"):
        os.utime(tmp_path / f"iotportal-tests-{name}", (0, 0))
    with ThrowawayServers() as servers:
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"iotportal-tests-running", "iotportal-tests-young", servers.state.root.name}
    assert not servers.state.root.exists()
    lock.release()


def test_it_keeps_the_state_of_tests_out_of_the_checkout(state_dir: Path) -> None:
    assert Path(settings.STATE_DIR) == state_dir
    assert settings.BASE_DIR not in state_dir.parents
