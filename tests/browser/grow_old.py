"""Make a session's sign-in an hour older: `python -m tests.browser.grow_old KEY`; nobody waits until it is no longer recent."""

import sys

import django


def main(key: str) -> None:
    """Set back when the person of the session `key` showed who they are."""
    django.setup()
    from django.contrib.sessions.backends.cached_db import SessionStore

    session = SessionStore(key)
    for record in session["account_authentication_methods"]:
        record["at"] -= 3600
    session.modified = True
    session.save()


if __name__ == "__main__":
    main(sys.argv[1])
