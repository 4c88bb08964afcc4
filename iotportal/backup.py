"""Everything that makes a portal this portal, in one file: the database, the certificate authority, the two keys.

The file is a tar archive, under a passphrase if one is set (iotportal.locked_file). Without one it must be guarded like the keys
that it holds. What lives in Valkey (sign-ins under way, counters, records of the last seconds) is not in it.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from iotportal.embedded import postgres
from iotportal.embedded.state import write_private
from iotportal.env import DATABASE_TLS
from iotportal.locked_file import MAGIC, Locking, Unlocking, Unreadable

FORMAT = 1
MANIFEST, DUMP, PKI, KEYS = "manifest.json", "database.dump", "pki/", "keys/"
_OURS = ("--no-owner", "--no-privileges")  # all is the portal's own role's, whatever that is called
_KEYS = {"seal-key": "PORTAL_SEAL_KEY", "secret-key": "PORTAL_SECRET_KEY"}
_NAMES = re.compile(
    r"(manifest\.json|database\.dump|keys/(seal|secret)-key|pki/([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*)\Z"
)
# What devices and people have been told, so that a portal that moves can say what it now calls otherwise.
_TOLD = ("PORTAL_URL", "DEVICE_HOST", "DEVICE_PORT", "DEVICE_PASSWORD_PORT", "DEVICE_PASSWORDS")


class BackupError(Exception):
    """It cannot be backed up or restored; says why and what to do."""


def back_up(target: Path) -> int:
    """Write a backup to `target` (0600, whole or not at all); returns its size. Raises BackupError."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file, tempfile.TemporaryFile(dir=target.parent) as dump:
            _run("pg_dump", *_OURS, "--format=custom", output=dump)
            _write(file, dump)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target.stat().st_size


def _write(file: IO[bytes], dump: IO[bytes]) -> None:
    lock = Locking(file, settings.BACKUP_PASSPHRASE) if settings.BACKUP_PASSPHRASE else None
    with tarfile.open(fileobj=cast(Any, lock or file), mode="w|") as archive:
        _add(archive, MANIFEST, json.dumps(_manifest(), indent=1).encode())
        for name, variable in _KEYS.items():
            _add(archive, KEYS + name, str(getattr(settings, variable.removeprefix("PORTAL_"))).encode())
        for path in sorted(settings.PKI_DIR.rglob("*")):
            if path.is_file() and _NAMES.match(inside := PKI + path.relative_to(settings.PKI_DIR).as_posix()):
                _add(archive, inside, path.read_bytes())
        size = dump.seek(0, os.SEEK_END)
        dump.seek(0)
        _add(archive, DUMP, dump, size)
    if lock:
        lock.close()


def _manifest() -> dict[str, object]:
    told = {name: getattr(settings, name) for name in _TOLD}
    return {"format": FORMAT, "version": settings.VERSION, "made": datetime.now(UTC).isoformat(), "told": told}


def _add(archive: tarfile.TarFile, name: str, content: bytes | IO[bytes], size: int | None = None) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o600, len(cast(bytes, content)) if size is None else size
    archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else content)


def restore(source: Path, *, replace: bool = False) -> list[str]:
    """Make the portal of the settings that of a backup; returns what the operator should know.

    The whole file is read and checked first. A database that holds anything is left alone, unless it is to be replaced.

    Raises:
        BackupError: nothing was changed, unless the text says otherwise.
    """
    with _unpacked(source) as folder:
        manifest = _checked(folder)
        keys = {variable: (folder / KEYS / name).read_text() for name, variable in _KEYS.items()}
        files = _key_files(keys)
        if not _is_empty():
            if not replace:
                raise BackupError("The database is not empty. To throw away what it holds: --replace")
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.close()
        _run("pg_restore", *_OURS, "--exit-on-error", "--single-transaction", "--dbname", _database(), str(folder / DUMP))
        for path, key in files.items():
            write_private(path, key + "\n")
        _restore_pki(folder / PKI)
    call_command("migrate", interactive=False, verbosity=0)  # the code may be newer than the backup
    return [f"From {manifest['made']}, version {manifest['version']}.", *_told_otherwise(manifest["told"])]


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """Unpack a backup into a folder for us alone, refusing names that we do not write."""
    try:
        with source.open("rb") as file, tempfile.TemporaryDirectory(dir=settings.STATE_DIR, prefix=".restore-") as folder:
            _unpack(file, Path(folder))
            yield Path(folder)
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{source} is no backup, or it was cut off.") from error
    except (Unreadable, FileNotFoundError) as error:
        raise BackupError(str(error)) from error


def _unpack(file: IO[bytes], folder: Path) -> None:
    stream: Any = file
    if file.read(len(MAGIC)) == MAGIC:
        if not settings.BACKUP_PASSPHRASE:
            raise BackupError("The backup is under a passphrase. Set PORTAL_BACKUP_PASSPHRASE.")
        stream = Unlocking(file, settings.BACKUP_PASSPHRASE)
    else:
        file.seek(0)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() and _NAMES.match(entry.name) else None
            if content is None:
                raise BackupError(f"There is something in it that no backup has: {entry.name[:80]!r}")
            path = folder / PurePosixPath(entry.name)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("xb") as target:
                shutil.copyfileobj(content, target)
    while stream.read(1 << 16):  # to the end of the file, which is what tells that nothing was cut off
        pass


def _checked(folder: Path) -> dict[str, Any]:
    """Return the manifest of a backup that has all its parts. Raises BackupError."""
    missing = [name for name in (MANIFEST, DUMP, *(KEYS + name for name in _KEYS)) if not (folder / name).is_file()]
    if missing or not any((folder / PKI).glob("*")):
        raise BackupError(f"The backup is not whole: {', '.join(missing) or 'the certificate authority'} is missing.")
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    if manifest.get("format") != FORMAT:
        raise BackupError("A newer version of the portal has made this backup: restore it with that.")
    return manifest


def _key_files(keys: dict[str, str]) -> dict[Path, str]:
    """Return the files into which the keys go. Raises BackupError where a key is another one and not in a file."""
    files = {}
    for variable, key in keys.items():
        if path := os.environ.get(f"{variable}_FILE"):
            files[Path(path)] = key
        elif getattr(settings, variable.removeprefix("PORTAL_")) != key:
            raise BackupError(
                f"{variable} is not that of the backup. Point {variable}_FILE at a file instead, which is then replaced."
            )
    return files


def _restore_pki(source: Path) -> None:
    """Put the certificate authority in the place of what is there, in one step; the former is kept beside it."""
    target: Path = settings.PKI_DIR
    fresh = target.with_name(f".{target.name}.restored")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh, copy_function=shutil.copyfile)
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    if target.exists():
        target.rename(target.with_name(f"{target.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))
    fresh.rename(target)


def _told_otherwise(told: dict[str, object]) -> list[str]:
    return [
        f"{name.removeprefix('PORTAL_')} was {value!r} and is {getattr(settings, name)!r}."
        for name, value in told.items()
        if name in _TOLD and getattr(settings, name) != value
    ]


def _is_empty() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace)")
        return bool((cursor.fetchone() or (False,))[0])


def _database() -> str:
    return str(connection.settings_dict["NAME"])


def _run(program: str, *words: str, output: IO[bytes] | None = None) -> None:
    """Run one of PostgreSQL's programs on the database of the settings; the password is in its environment alone."""
    place = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    env = {"PATH": os.environ.get("PATH", ""), **{name: str(place[key]) for name, key in names.items() if place[key]}}
    env |= {f"PG{name.upper()}": place["OPTIONS"][name] for name in DATABASE_TLS if name in place["OPTIONS"]}
    try:
        done = subprocess.run([postgres.program(program), *words], env=env, stdout=output, stderr=subprocess.PIPE, check=False)  # noqa: S603 - ours
    except FileNotFoundError as error:
        raise BackupError(f"{program} is not installed: it comes with PostgreSQL's client programs.") from error
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-800:]}")
