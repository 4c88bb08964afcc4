from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0010_emulator_hours"),
    ]

    operations = [
        ValidateConstraint("plan", "plan_hours_not_negative"),
    ]
