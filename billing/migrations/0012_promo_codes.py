import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

import iotportal.uuid7


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_account_time_zone"),
        ("billing", "0011_hours_known"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PromoCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=32, unique=True)),
                (
                    "credits",
                    models.IntegerField(default=0, help_text="What it brings at once; 0 for one that brings more with a package"),
                ),
                (
                    "percent",
                    models.IntegerField(
                        default=0, help_text="Of the next package's credits, on top of them", verbose_name="percent more"
                    ),
                ),
                (
                    "starts_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="UTC", verbose_name="valid from"),
                ),
                (
                    "ends_at",
                    models.DateTimeField(
                        blank=True, help_text="UTC. Empty: until you say otherwise", null=True, verbose_name="valid until"
                    ),
                ),
                (
                    "max_uses",
                    models.IntegerField(
                        blank=True, help_text="Empty: as many as there are accounts", null=True, verbose_name="uses in all"
                    ),
                ),
                ("max_uses_per_account", models.SmallIntegerField(default=1, verbose_name="uses per account")),
                (
                    "first_purchase_only",
                    models.BooleanField(default=False, help_text="Only for accounts that have not bought credits yet"),
                ),
                ("used", models.IntegerField(default=0, editable=False)),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="PromoRedemption",
            fields=[
                ("id", models.UUIDField(default=iotportal.uuid7.uuid7, editable=False, primary_key=True, serialize=False)),
                ("number", models.SmallIntegerField(editable=False)),
                ("credits", models.IntegerField(editable=False)),
                ("percent", models.IntegerField(editable=False)),
                ("redeemed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="entry_cause_known",
        ),
        migrations.AddField(
            model_name="order",
            name="bonus_credits",
            field=models.IntegerField(db_default=0, default=0, editable=False),
        ),
        # The choices are no column's: the database has nothing to do.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="entry",
                    name="cause",
                    field=models.CharField(
                        choices=[
                            ("purchase", "Purchase"),
                            ("spend", "Spend"),
                            ("gift", "Gift"),
                            ("promotion", "Promotion"),
                            ("refund", "Refund"),
                            ("correction", "Correction"),
                            ("reversal", "Reversal"),
                        ],
                        editable=False,
                        max_length=12,
                    ),
                ),
            ]
        ),
        AddConstraintNotValid(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("cause__in", ["purchase", "spend", "gift", "promotion", "refund", "correction", "reversal"])),
                name="entry_cause_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("bonus_credits", 0), models.Q(("bonus_credits__gte", 1), ("paid_at__isnull", False)), _connector="OR"
                ),
                name="order_bonus_once_paid",
            ),
        ),
        migrations.AddConstraint(
            model_name="promocode",
            constraint=models.CheckConstraint(
                condition=models.Q(("code__regex", "^[0-9A-Z]{4,32}$")), name="promocode_is_compared"
            ),
        ),
        migrations.AddConstraint(
            model_name="promocode",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credits__range", (1, 1000000)), ("percent", 0)),
                    models.Q(("credits", 0), ("percent__range", (1, 100))),
                    _connector="OR",
                ),
                name="promocode_brings_one_thing",
                violation_error_message="Either credits, up to 1,000,000, or 1 to 100 percent more.",
            ),
        ),
        migrations.AddConstraint(
            model_name="promocode",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at", None), ("ends_at__gt", models.F("starts_at")), _connector="OR"),
                name="promocode_has_a_time",
                violation_error_message="It ends before it begins.",
            ),
        ),
        migrations.AddConstraint(
            model_name="promocode",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("used__gte", 0),
                    models.Q(
                        ("max_uses", None), models.Q(("max_uses__gte", 1), ("used__lte", models.F("max_uses"))), _connector="OR"
                    ),
                ),
                name="promocode_not_overused",
                violation_error_message="At least 1, and not fewer than there were already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="promocode",
            constraint=models.CheckConstraint(
                condition=models.Q(("max_uses_per_account__range", (1, 1000))),
                name="promocode_uses_per_account_known",
                violation_error_message="Uses per account are 1 to 1,000.",
            ),
        ),
        migrations.AddField(
            model_name="promoredemption",
            name="account",
            field=models.ForeignKey(
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="promo_redemptions",
                to="accounts.account",
            ),
        ),
        migrations.AddField(
            model_name="promoredemption",
            name="entry",
            field=models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="promo_redemption",
                to="billing.entry",
            ),
        ),
        migrations.AddField(
            model_name="promoredemption",
            name="order",
            field=models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="promo_redemption",
                to="billing.order",
            ),
        ),
        migrations.AddField(
            model_name="promoredemption",
            name="promo_code",
            field=models.ForeignKey(
                editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="billing.promocode"
            ),
        ),
        migrations.AddField(
            model_name="promoredemption",
            name="user",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="promoredemption",
            constraint=models.UniqueConstraint(fields=("promo_code", "account", "number"), name="promoredemption_once"),
        ),
        migrations.AddConstraint(
            model_name="promoredemption",
            constraint=models.UniqueConstraint(
                condition=models.Q(("entry", None)), fields=("account",), name="promoredemption_one_waits"
            ),
        ),
        migrations.AddConstraint(
            model_name="promoredemption",
            constraint=models.CheckConstraint(condition=models.Q(("number__gte", 1)), name="promoredemption_numbered_from_one"),
        ),
        migrations.AddConstraint(
            model_name="promoredemption",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credits__gte", 1), ("entry__isnull", False), ("order", None), ("percent", 0)),
                    models.Q(("credits", 0), ("entry", None), ("order", None), ("percent__gte", 1)),
                    models.Q(("credits", 0), ("entry__isnull", False), ("order__isnull", False), ("percent__gte", 1)),
                    _connector="OR",
                ),
                name="promoredemption_brought_or_waits",
            ),
        ),
    ]
