"""What operators see of people and do for them: no password, no token, no key, and everything done is in the admin's log.

`base` has what the pages share, also for apps on the right; the other modules are the pages, by what they are about.
"""

from accounts.admin import access, log, organisations, people, site
from accounts.admin.base import Acting, ReadOnlyAdmin, Refused, Shelf, asks_why

__all__ = ["Acting", "ReadOnlyAdmin", "Refused", "Shelf", "access", "asks_why", "log", "organisations", "people", "site"]
