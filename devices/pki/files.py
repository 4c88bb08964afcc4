"""Files of the PKI directory: written whole or not at all, readable by their owner alone.

A file is written beside its place and renamed into it, so a reader sees the old content or the new, never a part; what must
agree between several files is changed under `locked`, which lets one process at a time in and which a crash releases.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

Stamp = tuple[tuple[int, int, int], ...]


def private_directory(path: Path) -> Path:
    """Make `path` (and its parents) if missing, for its owner alone, and return it."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    # A volume that somebody else made for us may be wider; where it is not ours to change, the system check says so.
    with suppress(PermissionError):
        if path.stat().st_mode & 0o777 != DIRECTORY_MODE:
            path.chmod(DIRECTORY_MODE)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Put `content` at `path` at once, mode 0600, and on the disk before returning."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write `content` unless it is there already; say whether it was written."""
    if path.exists() and path.read_bytes() == content:
        return False
    write_private(path, content)
    return True


_held = threading.local()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; waits while another process or thread has it. Who holds it may take it again."""
    mine: set[Path] = _held.__dict__.setdefault("directories", set())
    if directory in mine:
        yield
        return
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        mine.add(directory)
        yield
    finally:
        mine.discard(directory)
        os.close(descriptor)


def stamp(*paths: Path) -> Stamp:
    """Return what changes whenever one of the files does (they are replaced, so the inode tells even within one clock tick).

    Raises:
        FileNotFoundError: one is missing.
    """
    found = [path.stat() for path in paths]
    return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)
