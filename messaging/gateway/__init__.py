"""The command path inside a web process: from "may this user?" to the device's answer (docs/architecture.md)."""
