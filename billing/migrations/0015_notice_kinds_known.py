from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0014_buyer_returns"),
    ]

    operations = [
        ValidateConstraint("paymentnotice", "notice_kind_known"),
    ]
