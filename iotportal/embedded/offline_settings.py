"""The portal's settings for tools that read models but reach no server: type checks, `makemigrations --check`.

What must be set has a stand-in here that could not serve anybody; what is set already is left alone.
"""

import os

_STAND_INS = {
    "PORTAL_SECRET_KEY": "stand-in-for-tools-that-serve-nobody-" + "0" * 20,
    "PORTAL_SEAL_KEY": "A" * 43 + "=",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "VALKEY_URL": "redis://127.0.0.1:1/0",
}
for _name, _value in _STAND_INS.items():
    if _name not in os.environ and f"{_name}_FILE" not in os.environ:
        os.environ[_name] = _value

from iotportal.settings import *  # noqa: E402, F403
