import django.db.models.deletion
from django.db import migrations, models

# What is known when the history of presence begins, as its first rows.
BEGIN_THE_HISTORY = """
INSERT INTO messaging_presencechange (device_id, time, state, reason, address)
SELECT device_id,
       CASE WHEN connected THEN connected_at ELSE disconnected_at END,
       CASE WHEN connected THEN 'connected' ELSE 'disconnected' END,
       CASE WHEN connected THEN '' ELSE disconnect_reason END,
       CASE WHEN connected THEN address END
FROM messaging_presence WHERE CASE WHEN connected THEN connected_at ELSE disconnected_at END IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0002_device_event"),
        ("messaging", "0003_journal_message"),
    ]

    operations = [
        migrations.CreateModel(
            name="PresenceChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("time", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[("connected", "Connected"), ("disconnected", "Disconnected"), ("unknown", "Unknown")],
                        max_length=12,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=16)),
                ("address", models.GenericIPAddressField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="PresenceWatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("began", models.DateTimeField()),
                ("until", models.DateTimeField()),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RenameField(model_name="presence", old_name="last_seen_at", new_name="last_message_at"),
        migrations.AddField(
            model_name="presence",
            name="epoch",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="presence",
            name="last_answer_api",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="presence",
            name="last_answer_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="presence",
            name="last_answer_ms",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="presence",
            name="offline_after_minutes",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="presence",
            name="offline_told_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="presence",
            name="refused_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="presence",
            name="refused_reason",
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AddField(
            model_name="presence",
            name="sequence",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddIndex(
            model_name="presence",
            index=models.Index(
                condition=models.Q(("connected", False), ("offline_after_minutes__isnull", False), ("offline_told_at", None)),
                fields=["disconnected_at"],
                name="presence_to_tell",
            ),
        ),
        migrations.AddIndex(
            model_name="presence",
            index=models.Index(
                condition=models.Q(("connected", True), ("offline_told_at__isnull", False)),
                fields=["device"],
                name="presence_back",
            ),
        ),
        migrations.AddConstraint(
            model_name="presence",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("offline_after_minutes", None),
                    models.Q(("offline_after_minutes__gte", 1), ("offline_after_minutes__lte", 10080)),
                    _connector="OR",
                ),
                name="presence_offline_limit_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="presence",
            constraint=models.CheckConstraint(
                condition=models.Q(("offline_told_at", None), ("offline_after_minutes__isnull", False), _connector="OR"),
                name="presence_told_who_asked",
            ),
        ),
        migrations.AddField(
            model_name="presencechange",
            name="device",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="presence_changes", to="devices.device"
            ),
        ),
        migrations.AddConstraint(
            model_name="presencewatch",
            constraint=models.CheckConstraint(
                condition=models.Q(("until__gte", models.F("began"))), name="presence_watch_goes_on"
            ),
        ),
        migrations.AddIndex(
            model_name="presencechange",
            index=models.Index(fields=["device", "-time", "-id"], name="presence_change_of_device"),
        ),
        migrations.AddIndex(
            model_name="presencechange",
            index=models.Index(fields=["time"], name="presence_change_by_time"),
        ),
        migrations.AddConstraint(
            model_name="presencechange",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["connected", "disconnected", "unknown"])), name="presence_change_state_known"
            ),
        ),
        migrations.RunSQL(BEGIN_THE_HISTORY, migrations.RunSQL.noop),
    ]
