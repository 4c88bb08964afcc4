"""What a registration of many devices gives to take home: the result as CSV, and one encrypted archive of the devices' files.

The archive is what `openssl enc -aes-256-cbc -pbkdf2` writes, so that the tool that every desk has opens it (docs/adr/0005).
It is made when somebody asks for it, and kept nowhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from devices.codes import random_code
from devices.downloads import Download, File, KeyUnavailable, device_config, files_of, header_of, profile_file, slug
from devices.models import Certificate, DeviceJob, DeviceJobLine
from iotportal.csv_text import csv_lines
from simulators.settings import CA_FILE, CERTIFICATE_FILE, CONFIG_FILE, KEY_FILE

ITERATIONS = 600_000  # of PBKDF2-HMAC-SHA256, as OWASP's password storage guide has it in 2023
COLUMNS = ("line", "name", "profile", "state", "device_id", "error")
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


class TooEarly(KeyUnavailable):
    """The job is not done yet, so that an archive would be one of some devices only."""


def new_password() -> str:
    """Return a password to propose: 98 random bits."""
    return random_code(4, 5)


def state_of(line: DeviceJobLine, job: DeviceJob) -> str:
    """Return "registered", "failed", "waiting", or "left out" where the job ended before it came to the line."""
    if line.device_id is not None:
        return "registered"
    if line.error:
        return "failed"
    return "waiting" if job.status == DeviceJob.Status.RUNNING else "left out"


def result_csv(job: DeviceJob) -> Download:
    """Return what became of each line; no cell is a formula to a spreadsheet."""
    rows = (
        [line.number, line.name, line.profile, state_of(line, job), line.device_id.hex if line.device_id else "", line.error]
        for line in job.lines.all()
    )
    return Download(f"devices-{job.hex[:8]}.csv", "text/csv; charset=utf-8", csv_lines([COLUMNS, *rows]).encode())


def archive_name(job: DeviceJob) -> str:
    """Return the name of the archive on the owner's disk, before it is opened."""
    return f"devices-{job.hex[:8]}.zip.enc"


def open_command(job: DeviceJob) -> str:
    """Return the shell line that opens the archive; it asks for the password."""
    name = archive_name(job)
    return f"openssl enc -d -aes-256-cbc -md sha256 -pbkdf2 -iter {ITERATIONS} -in {name} -out {name.removesuffix('.enc')}"


def archive(job: DeviceJob, password: str) -> Download:
    """Return one encrypted file with the files of every device of the job that is still the account's, and note its SHA-256.

    A device whose key the portal does not have any more is left out, and named in `MISSING.txt`.

    Raises:
        TooEarly: the job is still running.
        KeyUnavailable: there is not one device whose key the portal could give.
    """
    if job.status == DeviceJob.Status.RUNNING:
        raise TooEarly("These devices are being registered right now. Wait until that is done, or cancel it.")
    content = _encrypted(_zip(job), password.encode())
    job.archive_sha256 = hashlib.sha256(content).hexdigest()
    job.save(update_fields=["archive_sha256"])
    return Download(archive_name(job), "application/octet-stream", content)


def _zip(job: DeviceJob) -> bytes:
    """Return the zip with a folder for each device; the 120 KiB of a simulator's program are not in each of them."""
    devices = {"device__account": job.account, "device__deleted_at": None}
    certificates = Certificate.objects.filter(device__job_line__job=job, status=Certificate.Status.ACTIVE, **devices)
    kept = {one.device_id: one for one in certificates.exclude(sealed_key=None).select_related("device__own_profile")}
    missing = []
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as whole:
        for line in job.lines.filter(**devices):
            certificate = kept.get(line.device_id) if line.device_id else None
            if certificate is None:
                missing.append(f"line {line.number}: {line.name}\n")
                continue
            for name, content in _files(certificate).items():
                _add(whole, f"{line.number:04d}-{slug(certificate.device)}/{name}", content)
        if missing:
            text = "The portal has no private key of these devices any more:\n\n" + "".join(missing)
            _add(whole, "MISSING.txt", text.encode())
    if not kept:
        raise KeyUnavailable("The portal does not keep the private key of any of these devices.")
    return out.getvalue()


def _files(certificate: Certificate) -> dict[str, bytes]:
    """Return what a device needs to connect, by file name."""
    device, files = certificate.device, files_of(certificate)
    return {
        CONFIG_FILE: json.dumps(device_config(device), indent=2).encode() + b"\n",
        CA_FILE: files.root_ca,
        CERTIFICATE_FILE: files.certificate,
        KEY_FILE: files.private_key or b"",
        str(File.HEADER): header_of(device, files, files.private_key).encode("ascii"),
        **profile_file(device),
    }


def _add(whole: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _TIMESTAMP)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    whole.writestr(info, content)


def _encrypted(content: bytes, password: bytes) -> bytes:
    """Return what `openssl enc -aes-256-cbc -md sha256 -pbkdf2 -iter ITERATIONS -salt` makes: Salted__, salt, ciphertext."""
    salt = os.urandom(8)
    made = PBKDF2HMAC(hashes.SHA256(), length=48, salt=salt, iterations=ITERATIONS).derive(password)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(made[:32]), modes.CBC(made[32:])).encryptor()
    padded = padder.update(content) + padder.finalize()
    return b"Salted__" + salt + encryptor.update(padded) + encryptor.finalize()
