"""Which certificate requests are taken: the cases of an enemy, as the bytes he would send."""

from __future__ import annotations

import base64
import math
import random
import subprocess
import textwrap
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devices.pki import MAX_CSR_BYTES, CsrRefused, read_csr
from devices.tests.certificate_requests import for_name, make_csr, new_key, rsa_key_of

SEED = random.Random(20170215)


def refusal(text: str) -> str:
    with pytest.raises(CsrRefused) as caught:
        read_csr(text)
    return str(caught.value)


# --- what is taken -----------------------------------------------------------------------------------------------------------


def test_the_key_of_a_good_request_is_taken_and_nothing_else() -> None:
    key = new_key()
    assert read_csr(make_csr(key)) == key.public_key()


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_keys_of_a_fair_size_are_taken(bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert read_csr(make_csr(key)) == key.public_key()


def test_what_the_page_tells_to_type_makes_a_good_request(tmp_path: Path) -> None:
    from devices.downloads import CSR_COMMAND

    subprocess.run(["sh", "-c", CSR_COMMAND], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    assert isinstance(read_csr((tmp_path / "device.csr").read_text()), ec.EllipticCurvePublicKey)
    assert (tmp_path / "device.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize(("before", "after", "line"), [("\n\n", "  \n", "\n"), ("", "", "\r\n")])
def test_it_is_read_as_people_paste_it(before: str, after: str, line: str) -> None:
    key = new_key()
    assert read_csr(before + make_csr(key).replace("\n", line) + after) == key.public_key()


def test_openssls_older_label_is_read() -> None:
    key = new_key()
    assert read_csr(make_csr(key).replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")) == key.public_key()


def test_a_request_may_name_the_device_that_it_is_for_and_no_other() -> None:
    device_id, key = uuid4(), new_key()
    assert read_csr(for_name(device_id.hex, key), device_id=device_id) == key.public_key()
    for name in (uuid4().hex, device_id.hex.upper() + "x", str(device_id), "portal.gateway", "localhost"):
        with pytest.raises(CsrRefused, match="common name"):
            read_csr(for_name(name), device_id=device_id)


def test_a_request_for_a_device_without_an_id_names_nobody() -> None:
    key = new_key()
    assert "'portal.bridge'" in refusal(for_name("portal.bridge"))
    assert "common name" in refusal(make_csr(subject={NameOID.ORGANIZATION_NAME: "O", NameOID.COMMON_NAME: "a" * 32}))
    other = {NameOID.ORGANIZATION_NAME: "mbed TLS", NameOID.COUNTRY_NAME: "UK"}
    assert read_csr(make_csr(key, subject=other)) == key.public_key()


def test_extensions_of_a_request_are_not_even_looked_at() -> None:
    key = new_key()
    wanted = [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName([x509.DNSName("localhost")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\xff" * 99),
    ]
    assert read_csr(make_csr(key, *wanted)) == key.public_key()


# --- what is not ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----", "\0" * 50, "é" * 50,
     "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"],
)  # fmt: skip
def test_what_is_no_request_is_said_to_be_none(text: str) -> None:
    assert "not a certificate request" in refusal(text)


def test_a_certificate_is_no_request() -> None:
    assert "not a certificate request" in refusal(make_csr().replace("CERTIFICATE REQUEST", "CERTIFICATE"))


def test_huge_input_is_refused_before_it_is_read() -> None:
    assert "8 KiB" in refusal("A" * (MAX_CSR_BYTES + 1))
    assert "8 KiB" in refusal(make_csr() + "#" * 10_000_000)


def test_a_private_key_is_sent_back_with_a_warning() -> None:
    pem = new_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()  # fmt: skip
    assert "private key" in refusal(pem + make_csr())


def test_a_request_that_was_changed_proves_nothing() -> None:
    der = bytearray(x509.load_pem_x509_csr(make_csr().encode()).public_bytes(serialization.Encoding.DER))
    der[-3] ^= 1
    changed = _pem(bytes(der))
    assert "signature" in refusal(changed)


def test_a_request_for_a_key_that_its_sender_does_not_have_proves_nothing() -> None:
    mine, yours = new_key(), new_key()
    der = x509.load_pem_x509_csr(make_csr(mine).encode()).public_bytes(serialization.Encoding.DER)
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    swapped = der.replace(mine.public_key().public_bytes(*point), yours.public_key().public_bytes(*point))
    assert swapped != der
    assert "signature" in refusal(_pem(swapped))


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1(), ec.SECP224R1(), ec.BrainpoolP256R1()])
def test_curves_that_small_boards_do_not_have_are_refused_by_name(curve: ec.EllipticCurve) -> None:
    assert curve.name in refusal(make_csr(ec.generate_private_key(curve)))


def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    key = new_key()
    der = x509.load_pem_x509_csr(make_csr(key).encode()).public_bytes(serialization.Encoding.DER)
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    off = point[:-1] + bytes([point[-1] ^ 1])
    assert "kind that is not taken" in refusal(_pem(der.replace(point, off)))


@pytest.mark.parametrize("bits", [1024, 1536, 2047])
def test_short_rsa_keys_are_refused(bits: int) -> None:
    assert f"{bits:,} bits" in refusal(make_csr(rsa.generate_private_key(public_exponent=65537, key_size=bits)))


def test_overlong_rsa_keys_are_refused() -> None:
    assert "4,104 bits" in refusal(make_csr(rsa.generate_private_key(public_exponent=65537, key_size=4104)))


def test_keys_of_other_kinds_are_refused() -> None:
    assert "neither" in refusal(make_csr(ed25519.Ed25519PrivateKey.generate(), hash_=None))
    assert "neither" in refusal(make_csr(dsa.generate_private_key(2048)))


def test_outdated_hashes_are_refused() -> None:
    assert "SHA-256" in refusal(make_csr(hash_=hashes.SHA224()))


# --- weak RSA keys -----------------------------------------------------------------------------------------------------------


def test_a_public_exponent_of_3_is_refused() -> None:
    assert "exponent" in refusal(make_csr(rsa.generate_private_key(public_exponent=3, key_size=2048)))


def test_two_primes_close_to_each_other_are_found() -> None:
    p = _prime(SEED.getrandbits(1024) | 3 << 1022)
    q = _prime(p + 2)
    assert "close" in refusal(make_csr(rsa_key_of(p, q)))


def test_a_small_factor_is_found() -> None:
    p = 641
    q = _prime(SEED.getrandbits(2048 - 9) | 1 << 2047 - 9)
    assert "small factor" in refusal(make_csr(rsa_key_of(p, q)))


def test_keys_of_the_infineon_library_are_found() -> None:
    """Primes of the form k * M + 65537^a mod M, as in Nemec et al. 2017, for 2048-bit keys: M is the product of 126 primes."""
    product = math.prod([n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1))])

    def prime() -> int:
        while True:
            candidate = SEED.getrandbits(1024 - product.bit_length()) * product + pow(65537, SEED.getrandbits(64), product)
            if candidate.bit_length() == 1024 and _is_prime(candidate):
                return candidate

    while (p := prime()) * (q := prime()) < 1 << 2047:
        pass
    assert "ROCA" in refusal(make_csr(rsa_key_of(p, q)))


def _prime(start: int) -> int:
    candidate = start | 1
    while not _is_prime(candidate) or math.gcd(candidate - 1, 65537) != 1:
        candidate += 2
    return candidate


def _is_prime(n: int) -> bool:
    """Test by Fermat with a few bases, which random numbers of this size do not pass by chance."""
    return math.gcd(n, math.prod(range(3, 200, 2))) == 1 and all(pow(base, n - 1, n) == 1 for base in (2, 3, 5, 7))


def _pem(der: bytes) -> str:
    lines = textwrap.fill(base64.b64encode(der).decode(), 64)
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}\n-----END CERTIFICATE REQUEST-----\n"
