"""A file under a passphrase, written and read as a stream of any length.

    magic line | salt (16 bytes) | chunks: AES-256-GCM of 1 MiB each, the last one shorter

The key is scrypt's (RFC 7914) of passphrase and salt. A chunk's nonce is its number and whether it is the last (the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): none can be changed, left out, moved or cut off unnoticed.
"""

from __future__ import annotations

import os
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC = b"iotportal locked file 1\n"
CHUNK = 1 << 20
_SALT, _TAG = 16, 16


class Unreadable(Exception):
    """The passphrase is another one, or the file was changed or cut off."""


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode()))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class Locking:
    """What is written to it goes to `file` encrypted; `close` writes the last chunk and leaves `file` open."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        salt = os.urandom(_SALT)
        self._file, self._cipher = file, _cipher(passphrase, salt)
        self._waiting, self._number = bytearray(), 0
        file.write(MAGIC + salt)

    def write(self, data: bytes) -> int:
        """Take `data`."""
        self._waiting += data
        while len(self._waiting) > CHUNK:  # never the last one: that is for `close`
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> None:
        """Write the end."""
        self._put(bytes(self._waiting), last=True)

    def _put(self, text: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last), text, MAGIC))
        self._number += 1


class Unlocking:
    """Reads what `Locking` wrote; `file` stands behind the magic line."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        self._file, self._cipher = file, _cipher(passphrase, file.read(_SALT))
        self._ahead, self._ready, self._number = file.read(CHUNK + _TAG), bytearray(), 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end. Raises Unreadable."""
        while len(self._ready) < size and self._ahead:
            chunk, self._ahead = self._ahead, self._file.read(CHUNK + _TAG)
            try:
                self._ready += self._cipher.decrypt(_nonce(self._number, not self._ahead), chunk, MAGIC)
            except InvalidTag as error:
                raise Unreadable("The passphrase is another one, or the file was changed or cut off.") from error
            self._number += 1
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken
