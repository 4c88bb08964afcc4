from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_promotions_known"),
    ]

    operations = [
        migrations.AddField(
            model_name="paymentnotice",
            name="answer",
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name="paymentnotice",
            name="kind",
            field=models.CharField(
                choices=[("notice", "Notice"), ("return", "Buyer's return")],
                db_default="notice",
                default="notice",
                editable=False,
                max_length=8,
            ),
        ),
        AddConstraintNotValid(
            model_name="paymentnotice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("answer", None), ("kind", "notice")),
                    models.Q(("kind", "return"), ("order__isnull", False)),
                    _connector="OR",
                ),
                name="notice_kind_known",
            ),
        ),
    ]
