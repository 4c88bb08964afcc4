from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_orders"),
    ]

    operations = [
        ValidateConstraint("ledgeraccount", "ledgeraccount_kind_known"),
        ValidateConstraint("ledgeraccount", "ledgeraccount_credits_are_owned"),
        ValidateConstraint("ledgeraccount", "ledgeraccount_debts_not_positive"),
    ]
