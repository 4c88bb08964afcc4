"""PostgreSQL for Django, with connections that rest in between (docs/adr/0007)."""
