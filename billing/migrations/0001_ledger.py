import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import iotportal.uuid7


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0002_organisations_tokens_factors"),
    ]

    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.UUIDField(default=iotportal.uuid7.uuid7, editable=False, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("purchase", "Purchase"),
                            ("spend", "Spend"),
                            ("gift", "Gift"),
                            ("refund", "Refund"),
                            ("correction", "Correction"),
                            ("reversal", "Reversal"),
                        ],
                        editable=False,
                        max_length=12,
                    ),
                ),
                ("idempotency_key", models.CharField(editable=False, max_length=120, unique=True)),
                ("reason", models.CharField(blank=True, default="", editable=False, max_length=200)),
                ("size", models.SmallIntegerField(editable=False)),
                (
                    "reverses",
                    models.OneToOneField(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversed_by",
                        to="billing.entry",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "entries",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="LedgerAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("credits", "Credits"),
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
                ("currency", models.CharField(default="CRD", editable=False, max_length=3)),
                ("balance", models.BigIntegerField(db_default=0, default=0, editable=False)),
                ("opened_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "owner",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="ledger_accounts",
                        to="accounts.account",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Posting",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.BigIntegerField(editable=False)),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="postings",
                        to="billing.ledgeraccount",
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="postings",
                        to="billing.entry",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("cause__in", ["purchase", "spend", "gift", "refund", "correction", "reversal"])),
                name="entry_cause_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(condition=models.Q(("idempotency_key", ""), _negated=True), name="entry_key_given"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cause__in", ["gift", "correction", "reversal"]), _negated=True),
                    models.Q(("reason", ""), _negated=True),
                    _connector="OR",
                ),
                name="entry_reason_given",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(condition=models.Q(("size__gte", 2)), name="entry_has_two_sides"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cause", "reversal"), ("reverses__isnull", False)),
                    models.Q(models.Q(("cause", "reversal"), _negated=True), ("reverses", None)),
                    _connector="OR",
                ),
                name="entry_reversal_of_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.UniqueConstraint(
                fields=("owner", "kind", "currency"), name="ledgeraccount_once", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["credits", "promotions", "purchases", "revenue", "refunds", "corrections"])),
                name="ledgeraccount_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("currency", "CRD"), ("kind", "credits"), ("owner__isnull", False)),
                    models.Q(models.Q(("kind", "credits"), _negated=True), ("owner", None)),
                    _connector="OR",
                ),
                name="ledgeraccount_credits_are_owned",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="ledgeraccount_currency_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("kind", "credits"), _negated=True), ("balance__gte", 0), _connector="OR"),
                name="ledgeraccount_credits_not_negative",
            ),
        ),
        migrations.AddIndex(
            model_name="posting",
            index=models.Index(fields=["account", "-id"], name="posting_of_account"),
        ),
        migrations.AddConstraint(
            model_name="posting",
            constraint=models.UniqueConstraint(fields=("entry", "account"), name="posting_once"),
        ),
        migrations.AddConstraint(
            model_name="posting",
            constraint=models.CheckConstraint(condition=models.Q(("amount", 0), _negated=True), name="posting_moves_something"),
        ),
    ]
