"""What main.py uses of MicroPython's `machine`, with pins in memory; and CPython's `ssl` made to take what MicroPython's does."""

import ssl
import sys


class Pin:
    """A pin; the board has forty."""

    OUT = 1
    levels: dict[int, int] = {}

    def __init__(self, number: int, mode: int = 0) -> None:
        if number >= 40:
            raise ValueError("invalid pin")
        self._number = number

    def value(self, level: int | None = None) -> int:
        """Set it, or return what it is."""
        if level is not None:
            self.levels[self._number] = level
        return self.levels.get(self._number, 0)


def reset() -> None:
    """End: there is nothing to reset."""
    sys.exit(0)


def _from_der() -> None:
    """Have load_cert_chain take DER: CPython's reads PEM, and from files alone."""
    import os
    import tempfile

    plain = ssl.SSLContext.load_cert_chain

    def load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
        pem = ssl.DER_cert_to_PEM_cert(certificate) + ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "PRIVATE KEY")
        with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
            file.write(pem)
        plain(context, file.name)
        os.unlink(file.name)

    ssl.SSLContext.load_cert_chain = load  # type: ignore[method-assign, assignment]  # that is the point


if sys.implementation.name == "cpython":
    _from_der()
