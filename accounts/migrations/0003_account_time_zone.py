from django.db import migrations, models

# People's own accounts count months in the zone that their people chose.
TAKE_OVER = """
UPDATE accounts_account SET time_zone = person.time_zone
FROM accounts_membership membership JOIN accounts_user person ON person.id = membership.user_id
WHERE membership.account_id = accounts_account.id AND membership.role = 'owner' AND accounts_account.kind = 'personal'
AND person.time_zone <> 'UTC'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_organisations_tokens_factors"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="time_zone",
            field=models.CharField(db_default="UTC", default="UTC", max_length=64),
        ),
        migrations.RunSQL(TAKE_OVER, migrations.RunSQL.noop),
    ]
