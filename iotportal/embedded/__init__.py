"""Everything the portal needs, from wheels and under one supervisor: PostgreSQL, Valkey, the broker, web, workers, mail.

`python -m iotportal.embedded` is what `make run` starts; `docs/adr/0001-embedded-servers.md` says why it is made this way.
Nothing in here touches Django's models: management commands run in their own process.
"""
