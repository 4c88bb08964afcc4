from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [
        ("notifications", "0007_template"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                condition=models.Q(("status", "queued")), fields=["channel", "due_at"], name="notification_due_by"
            ),
        ),
        RemoveIndexConcurrently(
            model_name="notification",
            name="notification_due",
        ),
    ]
