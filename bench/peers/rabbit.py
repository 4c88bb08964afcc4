"""The throw-away portal on RabbitMQ, with a certificate for whoever is measured beside it."""

from __future__ import annotations

import json

from bench.rabbit import DirectPortal
from iotportal.embedded import rabbitmq

PEER = "bench.peer"  # a user of RabbitMQ that may do everything


class PeerPortal(DirectPortal):
    """`DirectPortal`, for its peers are asked without nginx too, whose RabbitMQ knows the peer."""

    def start_rabbitmq(self) -> None:
        """Make the peer's certificate, have RabbitMQ know its name, and start it."""
        from cryptography.x509.oid import ExtendedKeyUsageOID

        from devices import pki
        from devices.pki.authority import leaf

        key = pki.new_private_key(pki.KeyAlgorithm.EC)
        certificate = leaf(pki.authority(), PEER, key.public_key(), 1, ExtendedKeyUsageOID.CLIENT_AUTH)
        (self.state.pki / "peer.pem").write_bytes(pki.to_pem(certificate))
        (self.state.pki / "peer.key").write_bytes(pki.private_key_pem(key))
        definitions = rabbitmq.folder(self.state) / "definitions.json"
        known = json.loads(definitions.read_text())
        known["users"].append({"name": PEER, "password_hash": "", "tags": []})
        known["permissions"].append({"user": PEER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"})
        definitions.write_text(json.dumps(known))
        super().start_rabbitmq()
