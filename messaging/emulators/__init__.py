"""Devices that the portal plays: `manage.py run_emulators` has all of them in one process, as clients of the broker.

What is to run is in PostgreSQL, one `Emulator` a person. Pages ask the process through Valkey (`orders`) and wait for its answer.
It writes what changed on a board and tells open pages. A process that ends loses its connections alone: the next one goes on.
"""
