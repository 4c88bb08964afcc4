"""Throw-away certificates for tests and benches."""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """A root, an issuing CA below it, and certificates of the issuing CA, as PEM files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root_key, self._root = self._make("root", None, ca=True)
        self._issuing_key, self._issuing = self._make("issuing", (self._root_key, self._root), ca=True)
        self.root = self._write("root-ca.pem", self._pem(self._root))
        self.issuing = self._write("issuing-ca.pem", self._pem(self._issuing))

    def issue(self, name: str, *, server: bool = False, days: float = 1) -> tuple[Path, Path]:
        """Return (certificate followed by the issuing one, key) for common name `name`."""
        certificate = self.folder / f"{name}.pem"
        key_file = self.folder / f"{name}.key"
        if not certificate.exists():
            key, leaf = self._make(name, (self._issuing_key, self._issuing), server=server, days=days)
            self._write(certificate.name, self._pem(leaf) + self._pem(self._issuing))
            self._write(key_file.name, _key_pem(key))
        return certificate, key_file

    def context(self, name: str | None) -> ssl.SSLContext:
        """Return a client's TLS context with the certificate of `name` (None: without any)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.root)
        if name is not None:
            context.load_cert_chain(*self.issue(name))
        return context

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    @staticmethod
    def _pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _make(
        name: str,
        issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None,
        *,
        ca: bool = False,
        server: bool = False,
        days: float = 1,
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer[1].subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if not ca:
            usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
            names = [x509.DNSName("localhost" if server else name)]
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return key, builder.sign(issuer[0] if issuer else key, hashes.SHA256())


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
