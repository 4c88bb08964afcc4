"""The protocol between portal and devices: pure, without I/O and without Django."""
