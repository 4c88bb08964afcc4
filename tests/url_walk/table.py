"""The whole table: what is in the tables of the apps, and the addresses that belong to none of them."""

from __future__ import annotations

from tests.url_walk import accounts, billing, devices, documented, notifications, staff
from tests.url_walk.rows import Row, door

PORTAL: dict[str, Row] = {
    "": door(rest="302"),
    "help/": door(GET="200"),
    "terms/": door(GET="200"),
    "privacy/": door(GET="200"),
    "api/v1": door(GET="200", OPTIONS="200"),
    "api/v1/": door(GET="302", rest="404"),
    "api/v1/schema": door(GET="200", OPTIONS="200"),
    "api/v1/docs": door(GET="200", OPTIONS="200"),
    "api/docs": door(GET="200", OPTIONS="200"),
    "api/schema": door(GET="200", OPTIONS="200"),
    "api/auth/docs": door(GET="200", OPTIONS="200"),
    "api/auth/schema": door(GET="200", OPTIONS="200"),
}
TABLE: dict[str, Row] = {
    **PORTAL, **accounts.TABLE, **billing.TABLE, **devices.TABLE, **notifications.TABLE, **documented.TABLE, **staff.TABLE,
}  # fmt: skip
