"""Plans, prices and packages, and what holds until the operator says otherwise."""

from django.db import migrations, models
from django.db.models.functions import Now

# A price or plan that has begun was shown to somebody and charged: it stays, and none begins in the past.
GUARDS = """
CREATE FUNCTION billing_not_retroactively() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.starts_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'what has begun is not changed: begin another'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'price_not_retroactive';
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.starts_at < now() THEN
        RAISE EXCEPTION 'nothing begins in the past'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'price_not_retroactive';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER price_not_retroactively BEFORE INSERT OR UPDATE OR DELETE ON billing_price
    FOR EACH ROW EXECUTE FUNCTION billing_not_retroactively();
CREATE TRIGGER plan_not_retroactively BEFORE INSERT OR UPDATE OR DELETE ON billing_plan
    FOR EACH ROW EXECUTE FUNCTION billing_not_retroactively();
"""

PRICES = (("message", 1, 100), ("email", 1, 10), ("sms", 10, 1), ("webhook", 1, 100), ("push", 1, 100), ("emulator_hour", 5, 1))
PACKAGES = ((500, 500), (1000, 900), (5000, 4000), (10000, 7000))  # credits, US cents


def add_defaults(apps, schema_editor):
    """Set prices from now on, and packages. The plan is PORTAL_FREE_MESSAGES until the operator makes one."""
    price, package = apps.get_model("billing", "Price"), apps.get_model("billing", "Package")
    for item, credits, per in PRICES:
        price.objects.create(item=item, credits=credits, per=per, starts_at=Now())
    for credits, cents in PACKAGES:
        package.objects.create(credits=credits, price_minor=cents, currency="USD")


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_ledger_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="Package",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("credits", models.IntegerField()),
                (
                    "price_minor",
                    models.IntegerField(help_text="In the smallest unit of the currency: 500 is 5.00", verbose_name="price"),
                ),
                ("currency", models.CharField(default="USD", help_text="Three letters (ISO 4217)", max_length=3)),
                ("offered", models.BooleanField(default=True, help_text="Whether it can be bought now")),
            ],
            options={
                "ordering": ["currency", "credits"],
                "constraints": [
                    models.UniqueConstraint(fields=("credits", "currency"), name="package_once"),
                    models.CheckConstraint(condition=models.Q(("credits__gte", 1)), name="package_has_credits"),
                    models.CheckConstraint(condition=models.Q(("price_minor__gte", 1)), name="package_costs_something"),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$"), models.Q(("currency", "CRD"), _negated=True)),
                        name="package_in_money",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("messages_per_month", models.BigIntegerField()),
                ("starts_at", models.DateTimeField(unique=True, verbose_name="starts")),
            ],
            options={
                "ordering": ["-starts_at"],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("messages_per_month__gte", 0)), name="plan_not_negative")
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "item",
                    models.CharField(
                        choices=[
                            ("message", "Message to a device"),
                            ("email", "E-mail"),
                            ("sms", "SMS"),
                            ("webhook", "Webhook"),
                            ("push", "Push notification"),
                            ("emulator_hour", "Hour of an emulator"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "country",
                    models.CharField(
                        blank=True, default="", help_text="Two letters (ISO 3166-1); empty: everywhere else", max_length=2
                    ),
                ),
                ("credits", models.IntegerField()),
                ("per", models.IntegerField(default=1, help_text="So many cost that number of credits together")),
                ("starts_at", models.DateTimeField(verbose_name="starts")),
            ],
            options={
                "ordering": ["item", "country", "-starts_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("item", "country", "starts_at"), name="price_once"),
                    models.CheckConstraint(
                        condition=models.Q(("item__in", ["message", "email", "sms", "webhook", "push", "emulator_hour"])),
                        name="price_item_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("country__regex", "^([A-Z]{2})?$")), name="price_country_known"),
                    models.CheckConstraint(condition=models.Q(("credits__gte", 0)), name="price_not_negative"),
                    models.CheckConstraint(condition=models.Q(("per__gte", 1)), name="price_per_positive"),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, "DROP FUNCTION billing_not_retroactively CASCADE"),
        migrations.RunPython(add_defaults, migrations.RunPython.noop),
    ]
