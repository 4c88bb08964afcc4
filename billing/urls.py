"""The pages of buying credits, and where payment providers tell us what happened."""

from django.urls import path

from billing.views import buying, notices, promo_codes, subscription

app_name = "billing"

_ACCOUNT = "account/billing/<uuid:account_id>/"
_ORDER = "account/orders/<uuid:order_id>/"

urlpatterns = [
    path(_ACCOUNT, subscription.subscription, name="subscription"),
    path(f"{_ACCOUNT}low-balance/", subscription.tell_below, name="tell_below"),
    path(f"{_ACCOUNT}payments/", subscription.payments, name="payments"),
    path(f"{_ACCOUNT}payments.csv", subscription.payments_csv, name="payments_csv"),
    path(f"{_ORDER}receipt/", subscription.receipt, name="receipt"),
    path(f"{_ORDER}receipt.pdf", subscription.receipt_file, name="receipt_file"),
    path(f"{_ACCOUNT}buy/", buying.buy, name="buy"),
    path(f"{_ACCOUNT}promo-code/", promo_codes.redeem, name="redeem"),
    path(_ORDER, buying.order, name="order"),
    path(f"{_ORDER}pay/", buying.pay, name="pay"),
    path(f"{_ORDER}return/", buying.returned, name="returned"),
    path(f"{_ORDER}cancelled/", buying.cancelled, name="cancelled"),
    path("payments/paypal/ipn/", notices.ipn, name="ipn"),
    path("payments/paypal/webhook/", notices.webhook, name="webhook"),
]
