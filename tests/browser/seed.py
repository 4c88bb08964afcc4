"""Make a new portal's tables, certificates and people: `python -m tests.browser.seed`; prints Alice's API token.

A process of its own, because the process of the tests has the settings (and so the database) of all the other tests.
"""

import sys

import django
from django.core.management import call_command

PASSWORD = "correct horse battery"
# Each for one story that changes how they sign in or what they have.
OTHERS = (
    "rose",
    "felix",
    "petra",
    "olga",
    "ines",
    "sam",
    "theo",
    "selma",
    "carla",
    "dora",
    "oscar",
    "paula",
    "bianca",
    "emma",
    "hanna",
)


def main() -> None:
    """Make Alice, who owns everything, Vera, who may look at it, and others, whom it does not concern."""
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("setup_pki", "--name", "localhost", "--name", "127.0.0.1", verbosity=0)
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import Group

    from accounts.models import ApiToken, Membership, Role, User
    from accounts.operators import GROUP
    from accounts.services import create_token, create_user, personal_account

    alice, vera, *_ = (
        create_user(username=name, email=f"{name}@example.com", password=None, first_name=name.title(), last_name="Example")
        for name in ("alice", "vera", "mallory", *OTHERS)
    )
    User.objects.update(password=make_password(PASSWORD))  # one hash for all: each takes half a second
    User.objects.filter(username="oscar").update(is_staff=True)
    User.objects.get(username="oscar").groups.add(Group.objects.get(name=GROUP))
    Membership.objects.create(user=vera, account=personal_account(alice), role=Role.VIEWER)
    sys.stdout.write(create_token(user=alice, name="tests", scopes=[ApiToken.Scope.MANAGE])[1])


if __name__ == "__main__":
    main()
