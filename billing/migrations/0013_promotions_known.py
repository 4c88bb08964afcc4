from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_promo_codes"),
    ]

    operations = [
        ValidateConstraint("entry", "entry_cause_known"),
        ValidateConstraint("order", "order_bonus_once_paid"),
    ]
