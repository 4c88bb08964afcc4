"""The embedded MQTT broker: mutual TLS, MQTT 3.1 and 3.1.1, topic rules and presence (docs/adr/0002-embedded-broker.md)."""
