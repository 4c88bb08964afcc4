"""Unix sockets: how long their names may be."""

from __future__ import annotations

import os
from pathlib import Path

_MAX_PATH = 103  # bytes: sun_path has 104 on macOS and 108 on Linux, one of them for the zero at its end
_MAX_NAME = 15  # of a socket in the folder, with its slash
MAX_SOCKET_FOLDER = _MAX_PATH - _MAX_NAME


def fits_sockets(folder: Path) -> bool:
    """Say whether sockets with names of ours can be in a folder."""
    return len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER
