"""How the rows of the walk's tables are written: see tests/test_url_walk.py."""

from __future__ import annotations

from dataclasses import dataclass

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROLES = ("anonymous", "stranger", "viewer", "operator", "owner", "staff")
Statuses = tuple[int, ...]  # one for each of ROLES


@dataclass(frozen=True)
class Row:
    """What one pattern answers: by method, and to all other methods."""

    named: dict[str, Statuses]
    rest: Statuses
    fresh: bool = False  # what the owner asks for takes something away, so each request gets a thing of its own
    staff_only: bool = False

    def expected(self, method: str, role: str) -> set[int]:
        position = ROLES.index(role)
        if method == "HEAD":  # as GET, or not at all
            return {self.named.get("HEAD", self.named.get("GET", self.rest))[position], 405}
        return {self.named.get(method, self.rest)[position]}

    def roles(self) -> tuple[str, ...]:
        """Return whom to ask as: every role where the thing is somebody's; elsewhere those that can be told apart."""
        if self.staff_only:
            return "anonymous", "owner", "staff"
        return ROLES if self.names_a_thing() else ("anonymous", "stranger", "owner")

    def names_a_thing(self) -> bool:
        """Whether the address names something that is somebody's: it is not there for a stranger."""
        return any(statuses[0] in {302, 401} and statuses[1] == 404 for statuses in self.named.values())

    def asked(self, role: str) -> list[str]:
        """Return the methods to try: as the owner all that could do something; as others those that do.

        Others try one that does nothing, too, where the answer is not the one that the owner gets.
        """
        named = [method for method in METHODS if method in self.named]
        if role == "stranger" and not self.names_a_thing():
            return [method for method in named if method == "GET"]  # a list, in which nothing of others may be
        if role == "owner" and not self.staff_only:
            return [*named, *(("HEAD",) if "GET" in named and "HEAD" not in named else ()), *self.idle()]
        told_apart = self.staff_only or self.rest[ROLES.index(role)] != self.rest[ROLES.index("owner")]
        return [*named, *(self.idle()[:1] if told_apart or not named else ())]

    def idle(self) -> list[str]:
        """Return the methods that change things elsewhere, and GET, as far as they do nothing here."""
        return [method for method in ("DELETE", "PUT", "POST", "PATCH", "GET") if method not in self.named]


def read(anonymous: int, words: str) -> Statuses:
    """Return the statuses of one to four words: "stranger viewer operator owner"."""
    given = [int(word) for word in words.split()]
    stranger, viewer, operator, owner = {1: given * 4, 2: [given[0], *given[1:] * 3]}.get(len(given), [*given, given[-1]][:4])
    return anonymous, stranger, viewer, operator, owner, stranger


def page(rest: str = "405", fresh: bool = False, **named: str) -> Row:
    """Return the row of a page behind the sign-in."""
    return Row({method: read(302, words) for method, words in named.items()}, read(302, rest), fresh)


def own(rest: str = "405", fresh: bool = False, **named: str) -> Row:
    """Return the row of a page about one person's own thing: "others owner"."""
    return page(rest, fresh, **{method: "{0} {0} {0} {1}".format(*words.split()) for method, words in named.items()})


def door(rest: str = "405", **named: str) -> Row:
    """Return the row of a page for everybody: "all", or "anonymous signed-in"."""

    def both(words: str) -> Statuses:
        anonymous, *signed_in = words.split()
        return read(int(anonymous), signed_in[0] if signed_in else anonymous)

    return Row({method: both(words) for method, words in named.items()}, both(rest))


def api(fresh: bool = False, **named: str) -> Row:
    """Return the row of an API path; every path tells those who are signed in what it is."""
    found = {method: read(401, words) for method, words in {"OPTIONS": "200", **named}.items()}
    return Row(found, read(401, "405"), fresh)


def desk(staff: int = 200, **named: int) -> Row:
    """Return the row of an admin page: what the staff gets; everybody else is sent to its door."""
    return Row({method: (*[302] * 5, status) for method, status in named.items()}, (*[302] * 5, staff), staff_only=True)
