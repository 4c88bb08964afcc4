"""The admin pages."""

from __future__ import annotations

from tests.url_walk.rows import Row, desk

TABLE: dict[str, Row] = {
    "admin/": desk(),
    "admin/login/": Row({}, (302, *[403] * 4, 302)),
    "admin/logout/": desk(POST=302, OPTIONS=200, staff=405),
    "admin/password_change/": desk(302),
    "admin/password_change/done/": desk(GET=200, OPTIONS=200, staff=405),
    "admin/autocomplete/": desk(GET=403, OPTIONS=200, staff=405),
    "admin/jsi18n/": desk(GET=200, OPTIONS=200, staff=405),
    "admin/r/<path:content_type_id>/<path:object_id>/": desk(404),
    "admin/^(?P<app_label>auth|accounts|usersessions|admin|billing|devices|messaging|notifications)/$": desk(),
    "admin/notifications/template/preview/": desk(302, POST=400),
    "admin/(?P<url>.*)$": desk(404),
}
# What the staff may do with each kind of row: list and history always; add, change, delete where nothing else takes care of it.
ADMIN = {
    "auth/group": "add change delete",
    "admin/logentry": "",
    "usersessions/usersession": "",
    "accounts/user": "change",
    "accounts/account": "",
    "accounts/membership": "",
    "accounts/apitoken": "",
    "billing/ledgeraccount": "",
    "billing/entry": "",
    "billing/price": "add",
    "billing/plan": "add change delete",
    "billing/package": "add change delete",
    "billing/vatrate": "add change delete",
    "billing/promocode": "add change delete",
    "billing/promoredemption": "",
    "billing/order": "",
    "billing/paymentnotice": "",
    "devices/device": "change delete",
    "devices/certificate": "",
    "devices/ownprofile": "",
    "messaging/presence": "",
    "notifications/notification": "",
    "notifications/recipient": "",
    "notifications/rule": "",
    "notifications/senderhealth": "",
    "notifications/tariff": "add change delete",
    "notifications/suppression": "add delete",
    "notifications/template": "add change delete",
}
for model, may in ADMIN.items():
    base = f"admin/{model}/"
    TABLE |= {
        base: desk(),
        base + "add/": desk(200 if "add" in may else 403),
        base + "<path:object_id>/": desk(302),
        base + "<path:object_id>/history/": desk(),
        base + "<path:object_id>/change/": desk(POST=200 if "change" in may else 403),
        base + "<path:object_id>/delete/": desk(200 if "delete" in may else 403),
    }
