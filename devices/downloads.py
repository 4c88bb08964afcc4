"""What a device's owner takes home: root certificate, certificate, key, the runnable zip, the header for firmware."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from django.conf import settings

from devices import pki, sealing
from devices.config_header import HeaderValues, config_header
from devices.models import Certificate, Device
from devices.selectors import document_of_device
from simulators.bundle import build_device_zip, zip_filename
from simulators.settings import PROFILE_FILE

logger = logging.getLogger(__name__)

# What makes a key and a request for it, with the tool that every desk has: the key stays where this is typed.
CSR_COMMAND = (
    "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout device.key -subj / -out device.csr"
)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128  # of a PKCS #12 file
SHORTEST_ARCHIVE_PASSWORD = 12  # of many devices' keys in one file
NOT_KEPT = "The portal does not keep this device's private key."


class KeyUnavailable(Exception):
    """The portal has no private key of the device to give; the message says why."""


@dataclass(frozen=True, slots=True)
class DeviceFiles:
    """What a device needs to connect, each as PEM; the key is None once it was forgotten."""

    root_ca: bytes
    certificate: bytes
    private_key: bytes | None


class File(StrEnum):
    """The files there are, by their name in the URL."""

    ROOT_CA = "root-ca.pem"
    CERTIFICATE = "device.crt"
    PRIVATE_KEY = "device.key"
    ZIP = "device.zip"
    HEADER = "iot_config.h"


PUBLIC_FILES = frozenset({File.ROOT_CA, File.CERTIFICATE})  # the others may have the private key in them

# The types under which browsers save a file rather than install a certificate.
_TYPES = {
    File.ROOT_CA: "application/x-pem-file",
    File.CERTIFICATE: "application/x-pem-file",
    File.PRIVATE_KEY: "application/x-pem-file",
    File.ZIP: "application/zip",
    File.HEADER: "text/x-c; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Download:
    """A file as it is sent: its name on the owner's disk, its media type, its bytes."""

    filename: str
    content_type: str
    content: bytes


def download(device: Device, file: File) -> Download:
    """Return one of the device's files.

    Raises:
        KeyUnavailable: the file has the private key in it, and the portal has none to give; or the device has no certificate.
    """
    makers = {
        File.ROOT_CA: lambda: pki.authority().root_pem,
        File.CERTIFICATE: lambda: _certificate(device).pem.encode("ascii"),
        File.PRIVATE_KEY: lambda: private_key(device),
        File.ZIP: lambda: device_zip(device),
        File.HEADER: lambda: header(device).encode("ascii"),
    }
    return Download(_filename(device, file), _TYPES[file], makers[file]())


def _filename(device: Device, file: File) -> str:
    """Return the name on the owner's disk: after the device where there is one of them per device."""
    name, _, ending = file.partition(".")
    return f"{slug(device)}.{ending}" if name == "device" else str(file)


def slug(device: Device) -> str:
    """Return the device's name as a file or folder can be called: a-z, 0-9 and hyphens; the id's beginning if nothing is left."""
    return zip_filename(device.name, device.hex).removesuffix(".zip")


def active_certificate(device: Device, *columns: str) -> Certificate | None:
    """Return the certificate the device is to use; `columns` are those that are read, all if none is named."""
    found = device.certificates.filter(status=Certificate.Status.ACTIVE)
    return (found.only("device", *columns) if columns else found).first()


def _certificate(device: Device) -> Certificate:
    certificate = active_certificate(device)
    if certificate is None:
        raise KeyUnavailable("This device has no certificate.")
    return certificate


def private_key(device: Device) -> bytes:
    """Return the kept private key of the device's active certificate, PKCS #8 PEM.

    Raises:
        KeyUnavailable: it was forgotten, or never kept, or its seal does not open.
    """
    key = _unsealed(_certificate(device))
    if key is None:
        raise KeyUnavailable(NOT_KEPT)
    return key


def _unsealed(certificate: Certificate) -> bytes | None:
    """Return the certificate's key, None if it is not kept."""
    if certificate.sealed_key is None:
        return None
    try:
        return sealing.unseal(bytes(certificate.sealed_key), certificate.device_id)
    except sealing.SealError as error:
        # An operator's problem: the seal key was changed, or the row was. The owner is told as much as helps him.
        logger.error("the sealed key of device %s does not open: %s", certificate.device_id.hex, error)
        raise KeyUnavailable("The portal cannot open this device's private key; its operator's log says why.") from error


def pkcs12(device: Device, password: str) -> Download:
    """Return the device's key and certificate with their authorities as one PKCS #12 file, encrypted with `password`.

    PBES2 with AES-256-CBC (RFC 8018), which OpenSSL, Java from 8u301 on, Windows and macOS read.

    Raises:
        KeyUnavailable: as `private_key`.
    """
    certificate = x509.load_pem_x509_certificate(_certificate(device).pem.encode("ascii"))
    key = serialization.load_pem_private_key(private_key(device), None)
    authorities = pki.issuers_of(certificate)
    encryption = serialization.BestAvailableEncryption(password.encode())
    content = serialize_key_and_certificates(slug(device).encode(), key, certificate, authorities, encryption)  # type: ignore[arg-type]  # it is EC or RSA
    return Download(f"{slug(device)}.p12", "application/x-pkcs12", content)


def device_files(device: Device) -> DeviceFiles:
    """Return what the device needs to connect; the key is None if the portal does not keep it.

    Raises:
        KeyUnavailable: the key is kept but cannot be opened, or the device has no certificate (it was deleted).
    """
    return files_of(_certificate(device))


def files_of(certificate: Certificate) -> DeviceFiles:
    """Return what the certificate's device needs to connect; the key is None if the portal does not keep it.

    Raises:
        KeyUnavailable: the key is kept but cannot be opened.
    """
    return DeviceFiles(pki.authority().root_pem, certificate.pem.encode("ascii"), _unsealed(certificate))


def device_config(device: Device) -> dict[str, str | int]:
    """Return what the simulators' `config.json` says of the device."""
    return {
        "device_id": device.hex,
        "name": device.name,
        "host": settings.DEVICE_HOST,
        "port": settings.DEVICE_PORT,
        "profile": device.profile,
    }


def profile_file(device: Device) -> dict[str, bytes]:
    """Return the file by which a simulator behaves as the device's own profile says; none for a shipped one, which it knows."""
    if device.own_profile_id is None:
        return {}
    return {PROFILE_FILE: json.dumps(document_of_device(device), indent=2).encode() + b"\n"}


def device_zip(device: Device) -> bytes:
    """Return the zip that Python runs as a simulator of the device; without the key if the portal does not keep it.

    Raises:
        KeyUnavailable: as `device_files`.
    """
    files = device_files(device)
    extra = profile_file(device)
    if files.private_key is not None:
        extra[str(File.HEADER)] = header_of(device, files, files.private_key).encode("ascii")
    return build_device_zip(device_config(device), files.root_ca, files.certificate, files.private_key, extra)


def header(device: Device) -> str:
    """Return `iot_config.h` for the device's firmware.

    Raises:
        KeyUnavailable: as `private_key`; firmware without its key would be of no use, unless the device has it already.
    """
    files = device_files(device)
    if files.private_key is None and _certificate(device).key_origin == Certificate.KeyOrigin.PORTAL:
        raise KeyUnavailable(NOT_KEPT)
    return header_of(device, files, files.private_key)


def header_of(device: Device, files: DeviceFiles, key: bytes | None) -> str:
    """Return `iot_config.h` with these files in it."""
    values = HeaderValues(
        device_id=device.hex,
        name=device.name,
        profile=device.profile,
        host=settings.DEVICE_HOST,
        port=settings.DEVICE_PORT,
        root_ca=files.root_ca,
        certificate=files.certificate,
        private_key=key,
    )
    return config_header(values)
