import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_move_credits"),
    ]

    operations = [
        migrations.CreateModel(
            name="Meter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.CharField(editable=False, max_length=6)),
                ("paid_upto", models.BigIntegerField(editable=False)),
                ("read_at", models.DateTimeField(editable=False)),
                (
                    "account",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="meters",
                        to="billing.ledgeraccount",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("account", "month"), name="meter_once"),
                    models.CheckConstraint(
                        condition=models.Q(("month__regex", "^\\d{4}(0[1-9]|1[0-2])$")), name="meter_month_known"
                    ),
                    models.CheckConstraint(condition=models.Q(("paid_upto__gte", 0)), name="meter_not_negative"),
                ],
            },
        ),
    ]
