"""Where the embedded stack keeps its state, and the small private files in it."""

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class State:
    """The folders below one state folder (`var/`)."""

    root: Path

    @property
    def log(self) -> Path:
        """What the processes print."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Lock, recorded processes, ports."""
        return self.root / "run"

    @property
    def sockets(self) -> Path:
        """Where the broker lets gateway and bridge in, if the path is short enough for sockets (`iotportal.sockets`)."""
        return self.run / "broker"

    @property
    def secrets(self) -> Path:
        """Passwords and keys made on the first run, one file each, 0600."""
        return self.root / "secrets"

    @property
    def pki(self) -> Path:
        """The certificate authority and the portal's own certificates."""
        return self.root / "pki"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file."""
        return self.root / "valkey"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's cluster, unless its user cannot reach this folder (see `postgres.place`)."""
        return self.root / "postgres"

    @property
    def short_hash(self) -> str:
        """A short name of this state folder, stable over restarts."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    def make(self) -> None:
        """Make the folders. The root may be passed through by PostgreSQL's own user; the rest is for us alone."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        for folder in (self.log, self.run, self.secrets, self.pki, self.valkey):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
        """Return the secret `name`, made and kept on first use."""
        path = self.secrets / name
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            value = make()
            write_private(path, value + "\n")
            return value


def default_state() -> State:
    """Return the state folder of this checkout, or the one PORTAL_STATE_DIR names."""
    return State(Path(os.environ.get("PORTAL_STATE_DIR") or CHECKOUT / "var").resolve())


def full_state() -> State:
    """Return the state folder of `make run-full`: below the checkout's own, or the one PORTAL_STATE_DIR names."""
    return State(Path(os.environ.get("PORTAL_STATE_DIR") or CHECKOUT / "var" / "full").resolve())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def read_json(path: Path) -> dict[str, object]:
    """Return the object in a JSON file; a missing or broken one is an empty object (it was cut off by a kill)."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
