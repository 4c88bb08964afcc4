"""Buying credits; nothing is for sale here."""

from __future__ import annotations

from tests.url_walk.accounts import API_ACCOUNT
from tests.url_walk.rows import Row, api, door, page

BILLING = "account/billing/<uuid:account_id>/"
ORDER = "account/orders/<uuid:order_id>/"

TABLE: dict[str, Row] = {
    BILLING: page(GET="404 200"),
    BILLING + "low-balance/": page(POST="404 403 403 400"),
    BILLING + "payments/": page(GET="404 403 403 200"),
    BILLING + "payments.csv": page(GET="404 403 403 200"),
    ORDER + "receipt/": page(GET="404 403 403 404"),  # it is not paid
    ORDER + "receipt.pdf": page(GET="404 403 403 404"),
    BILLING + "promo-code/": page(POST="404 403 403 400"),
    BILLING + "buy/": page(GET="404 403 403 200", POST="404 403 403 400"),
    ORDER: page(GET="404 403 403 200"),
    ORDER + "pay/": page(POST="404 403 403 503"),
    ORDER + "return/": page(GET="404 403 403 200"),
    ORDER + "cancelled/": page(GET="404 403 403 200"),
    "payments/paypal/ipn/": door(POST="404"),
    "payments/paypal/webhook/": door(POST="404"),
    "api/v1/packages": api(GET="200"),
    API_ACCOUNT + "/subscription": api(GET="404 403 403 200"),
    API_ACCOUNT + "/promo-codes": api(GET="404 403 403 200", POST="404 403 403 400"),
    API_ACCOUNT + "/orders": api(GET="404 403 403 200", POST="404 403 403 400"),
    API_ACCOUNT + "/orders/<str:order_id>": api(GET="404 403 403 404"),  # it is another account's
}
