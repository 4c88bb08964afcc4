"""Simulated devices that speak the portal's protocol. Needs only the standard library and paho-mqtt."""
