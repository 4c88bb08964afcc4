"""The history tables: partitioned by month, which Django's schema editor cannot say."""

from django.db import migrations

CREATE = """
CREATE TABLE messaging_message (
    id uuid NOT NULL,
    "time" timestamptz NOT NULL,
    account_id uuid NOT NULL,
    device_id uuid NOT NULL,
    direction varchar(4) NOT NULL CONSTRAINT message_direction_known CHECK (direction IN ('to', 'from')),
    api varchar(64) NOT NULL,
    payload text NOT NULL,
    raw bytea,
    size_bytes integer NOT NULL CONSTRAINT message_size_positive CHECK (size_bytes >= 0),
    malformed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id, "time")
) PARTITION BY RANGE ("time");
CREATE INDEX message_of_account ON messaging_message (account_id, "time" DESC, id DESC);
CREATE INDEX message_of_device ON messaging_message (device_id, "time" DESC, id DESC);

CREATE TABLE messaging_command (
    id uuid NOT NULL,
    "time" timestamptz NOT NULL,
    account_id uuid NOT NULL,
    device_id uuid NOT NULL,
    user_id bigint,
    api varchar(64) NOT NULL,
    payload text NOT NULL,
    outcome varchar(12) NOT NULL CONSTRAINT command_outcome_known CHECK (
        outcome IN ('answered', 'timeout', 'malformed', 'device_error', 'abandoned', 'disconnected')),
    answer text,
    attempts smallint NOT NULL DEFAULT 1,
    timeout_s double precision NOT NULL,
    sent_ms double precision,
    broker_ms double precision,
    answered_ms double precision,
    delivered_ms double precision,
    late_ms double precision,
    PRIMARY KEY (id, "time")
) PARTITION BY RANGE ("time");
CREATE INDEX command_of_account ON messaging_command (account_id, "time" DESC, id DESC);
CREATE INDEX command_of_device ON messaging_command (device_id, "time" DESC, id DESC);
"""

DROP = "DROP TABLE messaging_command; DROP TABLE messaging_message;"


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
