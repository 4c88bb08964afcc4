"""The portal's certificate authority: who is who on the broker's port.

    root CA ──▶ issuing CA ──▶ device certificates     CN = device id, clientAuth
                          ├──▶ portal.gateway, .bridge  the portal's own clients, clientAuth
                          └──▶ the broker              its names and addresses, serverAuth

Devices trust the root alone, so the issuing CA can be replaced without touching one of them; once it exists, the root's key
may be kept elsewhere. Everything lies in `settings.PKI_DIR`:

    root-ca.pem/.key  issuing-ca.pem/.key  clients-ca.pem (issuing + root: what the broker checks clients against)
    server.pem (with the issuing CA)/.key  gateway.pem/.key  bridge.pem/.key  and *.previous.pem after a renewal

Certificates follow RFC 5280: a device's subject alternative name is the URI ``urn:uuid:…``, which spells the id in a form made
for it (RFC 9562) and, unlike a DNS name, can never be taken for the name of a host. Keys are PKCS #8 PEM without a
passphrase: the one form that mbedTLS, OpenSSL (paho), Go and Java all read, and it is the same for EC and RSA.
"""

from devices.pki.authority import (
    SERVICES,
    Authority,
    authority,
    earlier_authorities,
    issue_device_certificate,
    issuers_of,
    server_certificate,
    service_certificates,
)
from devices.pki.crl import Entry, make_crl
from devices.pki.csr import MAX_CSR_BYTES, CsrRefused, read_csr
from devices.pki.errors import PkiError
from devices.pki.keys import (
    KeyAlgorithm,
    PrivateKey,
    PublicKey,
    algorithm_of,
    fingerprint,
    key_hash,
    key_id,
    new_private_key,
    private_key_pem,
    to_pem,
)
from devices.pki.rotation import Brought, bring, retire, rotate
from devices.pki.setting_up import ISSUING_DAYS, RENEW_BEFORE, is_usable, names_of, server_names, set_up

__all__ = [
    "ISSUING_DAYS", "MAX_CSR_BYTES", "RENEW_BEFORE", "SERVICES", "Authority", "Brought", "CsrRefused", "Entry",
    "KeyAlgorithm", "PkiError", "PrivateKey", "PublicKey", "algorithm_of", "authority", "bring", "earlier_authorities",
    "fingerprint", "is_usable", "issue_device_certificate", "issuers_of", "key_hash", "key_id", "make_crl", "names_of",
    "new_private_key", "private_key_pem", "read_csr", "retire", "rotate", "server_certificate", "server_names",
    "service_certificates", "set_up", "to_pem",
]  # fmt: skip
