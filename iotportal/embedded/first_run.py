"""Bring the data up to date before anything serves: migrations, certificates, the demo user and its devices.

    python -m iotportal.embedded.first_run --name HOST [--name HOST ...]

One process for several management commands, because starting Django is most of what each of them costs. All are idempotent.
"""

import argparse

import django
from django.core.management import call_command


def main() -> None:
    """Run the commands in their order; the first that fails ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", action="append", default=[], help="what the broker's certificate must name")
    parser.add_argument("--rabbitmq", metavar="FOLDER", help="also write RabbitMQ's configuration, there")
    parser.add_argument("--management", type=int, help="the port of its management interface")
    parser.add_argument("--metrics", type=int, help="the port of its metrics")
    options = parser.parse_args()
    django.setup()
    call_command("migrate", interactive=False, verbosity=1)
    call_command("setup_pki", *[word for name in options.name for word in ("--name", name)])
    call_command("setup_demo")
    if options.rabbitmq:
        call_command("broker_config", options.rabbitmq, management=options.management, metrics=options.metrics)


if __name__ == "__main__":
    main()
