from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0009_shared"),
    ]

    operations = [
        migrations.AddField(
            model_name="notification",
            name="parts",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
    ]
