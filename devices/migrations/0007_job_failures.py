from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0006_claim_code")]

    operations = [
        migrations.AddField(
            model_name="devicejob",
            name="failures",
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
