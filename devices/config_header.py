"""`iot_config.h`: a device's identity and portal as a C header, ready to be compiled into firmware."""

from __future__ import annotations

from dataclasses import dataclass

_TEXT = """\
/* Identity and portal of one device, made by the portal.
 * {warning} */
#ifndef IOT_CONFIG_H
#define IOT_CONFIG_H

#define IOT_DEVICE_ID   {device_id}
#define IOT_DEVICE_NAME {name}
#define IOT_PROFILE     {profile}
#define IOT_HOST        {host}
#define IOT_PORT        {port}

/* PEM. The NUL at the end counts: pass sizeof(iot_root_ca) and so on to mbedtls_x509_crt_parse() and mbedtls_pk_parse_key(). */

/* Who signs the broker's certificate. */
{root_ca}
/* This device's certificate. */
{certificate}
{private_key}
#endif /* IOT_CONFIG_H */
"""


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """What the header says; the last three are PEM. `private_key` None: the device made it and keeps it."""

    device_id: str
    name: str
    profile: str
    host: str
    port: int
    root_ca: bytes
    certificate: bytes
    private_key: bytes | None


_HOLDS_KEY = "It holds the device's private key: whoever has this file is the device. Keep it out of public repositories."
_HOLDS_NONE = "The private key is not in it: the device made that itself and keeps it."


def config_header(values: HeaderValues) -> str:
    """Return the header's text, ASCII alone."""
    key = values.private_key
    return _TEXT.format(
        device_id=c_string(values.device_id),
        name=c_string(values.name),
        profile=c_string(values.profile),
        host=c_string(values.host),
        port=int(values.port),
        root_ca=_array("iot_root_ca", values.root_ca),
        certificate=_array("iot_certificate", values.certificate),
        warning=_HOLDS_NONE if key is None else _HOLDS_KEY,
        private_key="" if key is None else "/* Its private key, PKCS #8. */\n" + _array("iot_private_key", key),
    )


def c_string(text: str) -> str:
    r"""Return `text` as a C string literal of its UTF-8 bytes.

    Whatever is not plain becomes three octal digits, which unlike \x cannot swallow the character after them; so do quote,
    backslash and question mark (trigraphs), so that no name can end the literal.
    """
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _array(name: str, pem: bytes) -> str:
    lines = "\n".join(f'    "{line}\\n"' for line in pem.decode("ascii").splitlines())
    return f"static const char {name}[] =\n{lines};\n"
