from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messaging", "0002_history_tables")]

    operations = [
        migrations.AddField(model_name="journalentry", name="message_id", field=models.UUIDField(null=True)),
    ]
