import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

import iotportal.uuid7


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_organisations_tokens_factors"),
        ("billing", "0005_meter"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.UUIDField(default=iotportal.uuid7.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "provider",
                    models.CharField(
                        choices=[("paypal_standard", "PayPal Payments Standard"), ("paypal_orders", "PayPal Orders")],
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("reference", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("credits", models.IntegerField(editable=False)),
                ("price_minor", models.IntegerField(editable=False)),
                ("currency", models.CharField(editable=False, max_length=3)),
                ("country", models.CharField(blank=True, default="", editable=False, max_length=2)),
                ("tax_name", models.CharField(blank=True, default="", editable=False, max_length=12)),
                ("tax_basis_points", models.IntegerField(default=0, editable=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Not paid"),
                            ("pending", "Payment pending"),
                            ("paid", "Paid"),
                            ("partly_refunded", "Partly refunded"),
                            ("refunded", "Refunded"),
                            ("disputed", "Disputed"),
                            ("failed", "Payment failed"),
                        ],
                        default="open",
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("made_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("paid_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="PaymentNotice",
            fields=[
                ("id", models.UUIDField(default=iotportal.uuid7.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "provider",
                    models.CharField(
                        choices=[("paypal_standard", "PayPal Payments Standard"), ("paypal_orders", "PayPal Orders")],
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("address", models.GenericIPAddressField(editable=False, null=True)),
                ("headers", models.JSONField(default=dict, editable=False)),
                ("body", models.BinaryField()),
                (
                    "verification",
                    models.CharField(
                        choices=[("open", "Not asked yet"), ("verified", "Verified"), ("refused", "Not the provider's")],
                        default="open",
                        editable=False,
                        max_length=8,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("open", "Not looked at yet"),
                            ("applied", "Applied"),
                            ("repeated", "Known before"),
                            ("ignored", "Nothing to do"),
                            ("rejected", "Rejected"),
                        ],
                        default="open",
                        editable=False,
                        max_length=8,
                    ),
                ),
                ("why", models.CharField(blank=True, default="", editable=False, max_length=300)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="PaymentTransaction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "provider",
                    models.CharField(
                        choices=[("paypal_standard", "PayPal Payments Standard"), ("paypal_orders", "PayPal Orders")],
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("reference", models.CharField(editable=False, max_length=64)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("payment", "Payment"),
                            ("refund", "Refund"),
                            ("reversal", "Reversal"),
                            ("reinstatement", "Reinstatement"),
                        ],
                        editable=False,
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("pending", "Pending"), ("completed", "Completed"), ("failed", "Failed")],
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("amount_minor", models.IntegerField(editable=False)),
                ("reason", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Receipt",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("issued_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("seller", models.TextField(editable=False)),
                ("buyer", models.TextField(editable=False)),
            ],
            options={
                "ordering": ["-number"],
            },
        ),
        migrations.CreateModel(
            name="VatRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("country", models.CharField(help_text="Two letters (ISO 3166-1)", max_length=2, unique=True)),
                (
                    "name",
                    models.CharField(default="VAT", help_text="What the tax is called there: VAT, GST, MwSt.", max_length=12),
                ),
                ("basis_points", models.IntegerField(help_text="In hundredths of a percent: 1900 is 19 %", verbose_name="rate")),
            ],
            options={
                "verbose_name": "VAT rate",
                "ordering": ["country"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="ledgeraccount",
            name="ledgeraccount_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="ledgeraccount",
            name="ledgeraccount_credits_are_owned",
        ),
        # The choices are no column's: the database has nothing to do.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="ledgeraccount",
                    name="kind",
                    field=models.CharField(
                        choices=[
                            ("credits", "Credits"),
                            ("debts", "Debts"),
                            ("promotions", "Promotions"),
                            ("purchases", "Purchases"),
                            ("revenue", "Revenue"),
                            ("refunds", "Refunds"),
                            ("corrections", "Corrections"),
                        ],
                        editable=False,
                        max_length=16,
                    ),
                ),
            ]
        ),
        AddConstraintNotValid(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind__in", ["credits", "debts", "promotions", "purchases", "revenue", "refunds", "corrections"])
                ),
                name="ledgeraccount_kind_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("currency", "CRD"), ("kind__in", ["credits", "debts"]), ("owner__isnull", False)),
                    models.Q(models.Q(("kind__in", ["credits", "debts"]), _negated=True), ("owner", None)),
                    _connector="OR",
                ),
                name="ledgeraccount_credits_are_owned",
            ),
        ),
        AddConstraintNotValid(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("kind", "debts"), _negated=True), ("balance__lte", 0), _connector="OR"),
                name="ledgeraccount_debts_not_positive",
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="account",
            field=models.ForeignKey(
                editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="accounts.account"
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="buyer",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="paymentnotice",
            name="order",
            field=models.ForeignKey(
                editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="notices", to="billing.order"
            ),
        ),
        migrations.AddField(
            model_name="paymenttransaction",
            name="entry",
            field=models.OneToOneField(
                editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="payment", to="billing.entry"
            ),
        ),
        migrations.AddField(
            model_name="paymenttransaction",
            name="order",
            field=models.ForeignKey(
                editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="transactions", to="billing.order"
            ),
        ),
        migrations.AddField(
            model_name="receipt",
            name="order",
            field=models.OneToOneField(
                editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="receipt", to="billing.order"
            ),
        ),
        migrations.AddConstraint(
            model_name="vatrate",
            constraint=models.CheckConstraint(condition=models.Q(("country__regex", "^[A-Z]{2}$")), name="vatrate_country_known"),
        ),
        migrations.AddConstraint(
            model_name="vatrate",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis_points__gte", 0), ("basis_points__lt", 10000)), name="vatrate_in_range"
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(fields=["account", "-id"], name="order_of_account"),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("credits__gte", 1), ("price_minor__gte", 1)), name="order_buys_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$"), models.Q(("currency", "CRD"), _negated=True)),
                name="order_in_money",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("tax_basis_points__gte", 0), ("tax_basis_points__lt", 10000)), name="order_tax_in_range"
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("paid_at", None), ("status__in", ["open", "pending", "failed"])),
                    models.Q(("paid_at__isnull", False), ("status__in", ["paid", "partly_refunded", "refunded", "disputed"])),
                    _connector="OR",
                ),
                name="order_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reference", ""), _negated=True),
                fields=("provider", "reference"),
                name="order_reference_once",
            ),
        ),
        migrations.AddIndex(
            model_name="paymentnotice",
            index=models.Index(condition=models.Q(("outcome", "open")), fields=["id"], name="notice_open"),
        ),
        migrations.AddConstraint(
            model_name="paymentnotice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome", "applied"), _negated=True),
                    models.Q(("order__isnull", False), ("verification", "verified")),
                    _connector="OR",
                ),
                name="notice_applied_if_verified",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymenttransaction",
            constraint=models.UniqueConstraint(fields=("provider", "reference"), name="paymenttransaction_once"),
        ),
        migrations.AddConstraint(
            model_name="paymenttransaction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "payment"), ("status", "completed")),
                fields=("order",),
                name="paymenttransaction_pays_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymenttransaction",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor__gte", 1)), name="paymenttransaction_moves_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="receipt",
            constraint=models.CheckConstraint(condition=models.Q(("number__gte", 1)), name="receipt_numbered_from_one"),
        ),
    ]
