from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0008_lanes"),
    ]

    operations = [
        migrations.AddField(
            model_name="notification",
            name="shared",
            field=models.BooleanField(null=True),
        ),
    ]
