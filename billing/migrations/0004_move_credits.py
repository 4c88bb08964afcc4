from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0003_prices"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="entry",
            options={
                "ordering": ["-id"],
                "permissions": [("move_credits", "Can give, correct and reverse credits")],
                "verbose_name_plural": "entries",
            },
        ),
    ]
