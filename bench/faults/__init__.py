"""Kill what the portal consists of while it works, and count what is lost, doubled, wrong or not answered.

`python -m bench.faults`: the bridge and its database, on the embedded broker.
`python -m bench.faults.rabbitmq`: every process of the production stack, under commands and messages at once.
"""
