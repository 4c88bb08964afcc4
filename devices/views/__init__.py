"""The pages of the registry: thin over `devices.services`."""
