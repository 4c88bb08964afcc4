"""The one decision who may connect to the broker; every broker we run asks it.

The TLS handshake has proven by then that the client holds the key of a certificate of our issuing CA. Asked here is whose it is,
and whether it is still good: its dates too, because an owner may let an ended one in for a while.
"""

from __future__ import annotations

from hmac import compare_digest
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from devices import pki
from devices.models import Certificate, DeviceSecret
from devices.services import note_expired, note_secret_use, note_shared, note_use, secret_hash
from messaging.authorization import PASSWORD, SOCKET, Identity, Kind, Refusal, identify
from messaging.broker.takeovers import Shared


class RegistryUnavailable(Exception):
    """The database could not be asked. Let nobody new in; what is connected may stay until it can be."""


def admit_connection(common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
    """Return who connects, or why not (for the log alone: the client is told nothing).

    `common_name` and `fingerprint` (SHA-256 of the DER form, 64 lower-case hex digits) are those of the certificate the client
    proved to hold, `client_id` is its MQTT client id (for AMQP, the common name). For a device with a password they are the name
    that it gave and `password_proof`. One indexed query for a device, none for the portal's services. For threads of
    long-running processes: a database connection that broke since the last call is replaced.

    Raises:
        RegistryUnavailable: the database cannot be asked now.
        devices.pki.PkiError: the file of a service's certificate is damaged.
    """
    identity = identify(common_name, client_id)
    if isinstance(identity, Refusal):
        return identity
    if fingerprint == SOCKET:  # who can open a service's socket is that service
        return identity if identity.kind is not Kind.DEVICE else Refusal("a device has no socket")
    if fingerprint.startswith(PASSWORD):
        refusal_of = _password_refusal if identity.kind is Kind.DEVICE else _no_device
    else:
        refusal_of = _device_refusal if identity.kind is Kind.DEVICE else _service_refusal
    return refusal_of(common_name, fingerprint) or identity


def admit_certificate_name(common_name: str) -> Identity | Refusal:
    """Return who connects with a certificate of that name, for a broker that says nothing else of it (RabbitMQ).

    Good is who has any good certificate: which one it was is told apart elsewhere, see `messaging.rabbitmq.warden`.

    Raises:
        RegistryUnavailable: the database cannot be asked now.
    """
    identity = identify(common_name, common_name)
    if isinstance(identity, Refusal):
        return identity
    if identity.kind is not Kind.DEVICE:
        return Refusal("a service is no device")
    _drop_broken_connection()
    try:
        found = Certificate.objects.select_related("device").only(*_ASKED).filter(device_id=UUID(hex=common_name))
        verdicts = [(one, _refusal(common_name, one)) for one in found]
        good = next((one for one, refusal in verdicts if refusal is None), None)
        if good is not None:
            _note(good, None)
    except DatabaseError as error:
        raise RegistryUnavailable("the registry cannot be asked") from error
    finally:
        _drop_broken_connection()
    if good is not None:
        return identity
    return next((refusal for _, refusal in reversed(verdicts) if refusal is not None), Refusal("unknown device"))


def password_proof(device: str, password: bytes) -> str:
    """Return what stands in place of a fingerprint for a device that comes with a password; `device` is a device id."""
    return PASSWORD + secret_hash(UUID(hex=device), password)


def _no_device(_common_name: str, _fingerprint: str) -> Refusal:
    return Refusal("a service has no password")


def _password_refusal(common_name: str, fingerprint: str) -> Refusal | None:
    """Say why a device's password is not good. Wrong, revoked and never had are one answer: nobody proved to be the device."""
    if not settings.DEVICE_PASSWORDS:
        return Refusal("device passwords are switched off")
    _drop_broken_connection()
    try:
        secret = DeviceSecret.objects.filter(device_id=UUID(hex=common_name), device__deleted_at=None).first()
        if secret is None or not compare_digest(PASSWORD + secret.secret_hash, fingerprint):
            return Refusal("wrong password")
        if secret.used_at is None:
            note_secret_use(secret=secret)
    except DatabaseError as error:
        raise RegistryUnavailable("the registry cannot be asked") from error
    finally:
        _drop_broken_connection()
    return None


def report_shared(shared: Shared) -> None:
    """Note that a certificate is in use in two places, where its owner sees it. For the same threads as `admit_connection`.

    Raises:
        RegistryUnavailable: the database cannot be asked now; clones will meet again.
    """
    _drop_broken_connection()
    try:
        note_shared(fingerprint=shared.fingerprint, addresses=list(shared.addresses), times=shared.times, minutes=shared.minutes)
    except DatabaseError as error:
        raise RegistryUnavailable("the registry cannot be written to") from error
    finally:
        _drop_broken_connection()


def _service_refusal(common_name: str, fingerprint: str) -> Refusal | None:
    """Say why a portal service's certificate is not good; only those in the PKI directory are."""
    now = timezone.now()
    for certificate in pki.service_certificates(common_name):
        if certificate.fingerprint == fingerprint:
            in_its_dates = certificate.not_before <= now < certificate.not_after
            return None if in_its_dates else Refusal("the service's certificate is not in its dates")
    return Refusal("not the service's certificate")


def _drop_broken_connection() -> None:
    """Do for a thread of our own what Django does around each request; a caller's open transaction is left alone."""
    if not connection.in_atomic_block:
        close_old_connections()


def _device_refusal(common_name: str, fingerprint: str) -> Refusal | None:
    """Say why a device's certificate is not good."""
    _drop_broken_connection()
    try:
        certificate = Certificate.objects.select_related("device").only(*_ASKED).filter(fingerprint=fingerprint).first()
        refusal = _refusal(common_name, certificate)
        if certificate is not None:
            _note(certificate, refusal)
    except DatabaseError as error:
        raise RegistryUnavailable("the registry cannot be asked") from error
    finally:
        _drop_broken_connection()
    return refusal


_ASKED = (
    "status", "not_before", "not_after", "retires_at", "rescued_until", "used_at", "device_id", "device__deleted_at",
)  # fmt: skip
_EXPIRED = Refusal("the certificate has ended", "expired")


def _refusal(common_name: str, certificate: Certificate | None) -> Refusal | None:
    if certificate is None:
        return Refusal("unknown certificate")
    if certificate.device_id != UUID(hex=common_name):
        return Refusal("another device's certificate")
    if certificate.device.deleted_at is not None:
        return Refusal("the device was deleted", "deleted")
    if certificate.status == Certificate.Status.REVOKED:
        return Refusal("the certificate was revoked", "revoked")
    if certificate.is_valid():
        return None
    return _EXPIRED if certificate.is_expired() else Refusal("the certificate is not in its dates")


def _note(certificate: Certificate, refusal: Refusal | None) -> None:
    """Write what was seen of a certificate for the first time. Once in its life, so that a look costs one query and no write."""
    if refusal is None and certificate.used_at is None:
        note_use(certificate=certificate)
    elif refusal is _EXPIRED:
        note_expired(certificate=certificate)
