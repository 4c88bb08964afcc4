"""The bridge: writes what devices and portal said into the history, each message once (docs/adr/0003-exactly-once-history.md).

- `source`: what brings messages and takes acknowledgements; `mqtt` is the embedded broker's
- `commands`: what brings the portal's own commands, from a Valkey stream
- `inbox`: where both wait, bounded
- `meaning`: what a message says, pure
- `database`: the one connection, its lock, its transactions
- `journal`: which deliveries are in the history
- `writer`: a batch into the database, in one transaction; `tables` and `sql` are its hands
- `aftermath`: what follows a commit: live events, presence keys, counters
- `runner`: the loop that ties them together
- `step`: the Celery worker's part that runs it
"""
