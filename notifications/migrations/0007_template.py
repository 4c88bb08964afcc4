from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0006_choice"),
    ]

    operations = [
        migrations.CreateModel(
            name="Template",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event", models.CharField(max_length=16)),
                ("language", models.CharField(max_length=12)),
                ("subject", models.CharField(max_length=200)),
                ("text", models.TextField(max_length=4000)),
                ("short", models.TextField(blank=True, max_length=459, verbose_name="SMS")),
                ("html", models.TextField(blank=True, max_length=20_000, verbose_name="HTML")),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["event", "language"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("event", "language"),
                        name="template_once",
                        violation_error_message="There is one already: change that.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("subject", ""), _negated=True), models.Q(("text", ""), _negated=True)),
                        name="template_says_something",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="notification",
            name="html",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="notification",
            name="language",
            field=models.CharField(blank=True, db_default="", default="", max_length=12),
        ),
    ]
