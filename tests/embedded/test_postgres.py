"""The embedded PostgreSQL: its data stays, its mistakes are told."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from iotportal.embedded import children, postgres
from iotportal.embedded.errors import StartError
from iotportal.embedded.ports import free_port
from iotportal.embedded.postgres import Place
from iotportal.embedded.state import State
from tests.embedded.helpers import runs, wait_for

SUPERUSER, PORTAL = secrets.token_urlsafe(), secrets.token_urlsafe()


@pytest.fixture(autouse=True)
def _private_files() -> Iterator[None]:
    """Run as `make run` does: new files are nobody else's."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def state() -> Iterator[State]:
    """Make a state folder that PostgreSQL's user can reach; pytest's own temporary folders are closed to others."""
    with tempfile.TemporaryDirectory(prefix="iotportal-pg-") as folder:
        made = State(Path(folder))
        made.make()
        yield made


@contextlib.contextmanager
def running(where: Place, *, stop: bool = True) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    postgres.prepare(where, SUPERUSER)
    port = free_port()
    child = postgres.child(where, port)
    process = children.spawn(child, sys.stderr.buffer)
    try:
        wait_for(lambda: postgres.answers(port, SUPERUSER), "PostgreSQL")
        yield port, process
    finally:
        if stop:
            children.stop(process, child)


@contextlib.contextmanager
def connected(port: int) -> Iterator[connection]:
    link = psycopg2.connect(postgres.url(port, PORTAL))
    with contextlib.closing(link), link:
        yield link


def test_it_keeps_data_over_a_restart_and_over_kill_9(state: State) -> None:
    where = postgres.place(state)
    with running(where) as (port, process):
        postgres.make_database(port, SUPERUSER, PORTAL)
        with connected(port) as link, link.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (value int); INSERT INTO kept VALUES (1)")
    assert process.returncode == 0
    with running(where, stop=False) as (port, process):
        postgres.make_database(port, SUPERUSER, PORTAL)  # as at every start
        with connected(port) as link, link.cursor() as cursor:
            cursor.execute("INSERT INTO kept VALUES (2)")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with running(where) as (port, _), connected(port) as link, link.cursor() as cursor:
        cursor.execute("SELECT array_agg(value ORDER BY value) FROM kept")
        assert cursor.fetchone() == ([1, 2],)


def test_the_portals_role_is_no_superuser_and_owns_only_its_database(state: State) -> None:
    with running(postgres.place(state)) as (port, _):
        postgres.make_database(port, SUPERUSER, PORTAL)
        with connected(port) as link, link.cursor() as cursor:
            cursor.execute("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user")
            assert cursor.fetchone() == (False, False, False)
            cursor.execute("SHOW fsync")
            assert cursor.fetchone() == ("on",)


def test_it_refuses_data_of_another_major_version(state: State) -> None:
    where = postgres.place(state)
    where.data.mkdir()
    (where.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(StartError, match=r"written by PostgreSQL 12; this version of the portal brings PostgreSQL \d\d"):
        postgres.prepare(where, SUPERUSER)


def test_it_starts_although_its_old_number_is_now_another_programs(state: State) -> None:
    where = postgres.place(state)
    with running(where):
        pass
    (where.data / "postmaster.pid").write_text(f"{os.getpid()}\n{where.data}\n")
    with running(where):
        pass


def test_it_says_so_when_the_password_does_not_fit_the_data(state: State) -> None:
    with running(postgres.place(state)) as (port, _), pytest.raises(StartError, match="does not take the password"):
        postgres.answers(port, "another")


def test_it_ends_with_the_process_that_started_it(state: State) -> None:
    where = postgres.place(state)
    postgres.prepare(where, SUPERUSER)
    port = free_port()
    code = (
        "import sys; from pathlib import Path; from iotportal.embedded import children, postgres\n"
        "from iotportal.embedded.state import State\n"
        f"child = postgres.child(postgres.place(State(Path({str(state.root)!r}))), {port})\n"
        "print(children.spawn(child, sys.stderr.buffer).pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for(lambda: postgres.answers(port, SUPERUSER), "PostgreSQL")
        parent.kill()
    wait_for(lambda: not runs(pid), "PostgreSQL to end")
    assert not (where.data / "postmaster.pid").exists()  # it had the time to end in order


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL to another user")
def test_root_gives_it_to_another_user_who_needs_no_way_into_the_checkout(tmp_path: Path) -> None:
    closed = tmp_path / "home of root"
    closed.mkdir(mode=0o700)
    state = State(closed / "var")
    state.make()
    far = postgres.far_folder(state)
    try:
        where = postgres.place(state)
        assert where.data == far / "postgres"
        with running(where) as (port, process):
            postgres.make_database(port, SUPERUSER, PORTAL)
            assert os.stat(f"/proc/{process.pid}").st_uid == where.uid != 0
        assert where.data.stat().st_mode & 0o077 == 0
    finally:
        subprocess.run(["rm", "-rf", str(far)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL to another user")
def test_the_programs_run_from_a_copy(state: State) -> None:
    programs = postgres._copy_wheel(postgres._wheel(), postgres.far_folder(state))
    try:
        where = postgres.place(state)
        with running(Place(programs, where.data, where.uid, where.gid)) as (port, _):
            postgres.make_database(port, SUPERUSER, PORTAL)
    finally:
        subprocess.run(["rm", "-rf", str(postgres.far_folder(state))], check=True)
