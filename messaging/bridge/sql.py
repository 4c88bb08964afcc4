"""The statements of the writer."""

from __future__ import annotations

INSERT_MESSAGES = b"""
INSERT INTO messaging_message (id, time, account_id, device_id, direction, api, payload, raw, size_bytes, malformed) VALUES """
MESSAGE_TEMPLATE = "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
COPY_MESSAGES = """
COPY messaging_message (id, time, account_id, device_id, direction, api, payload, raw, size_bytes, malformed) FROM STDIN
"""

COMMAND_COLUMNS = (
    "id", "time", "account_id", "device_id", "user_id", "api", "payload", "outcome", "answer", "attempts", "timeout_s",
    "sent_ms", "broker_ms", "answered_ms", "delivered_ms", "late_ms",
)  # fmt: skip
_COMMAND = ", ".join(COMMAND_COLUMNS)
# ruff: noqa: S608  # what is put together here are our own column names
# A record that is read again, because we died before its acknowledgement, is the same row: its time comes from its id.
# As one JSON text: to adapt and to quote value by value costs twice as much, and PostgreSQL reads arrays no faster.
INSERT_COMMANDS = f"""
INSERT INTO messaging_command ({_COMMAND.removesuffix(", late_ms")})
SELECT * FROM json_to_recordset(%s) AS v (
    id uuid, time timestamptz, account_id uuid, device_id uuid, user_id integer, api text, payload text, outcome text,
    answer text, attempts smallint, timeout_s float8, sent_ms float8, broker_ms float8, answered_ms float8, delivered_ms float8)
ON CONFLICT (id, time) DO NOTHING RETURNING id::text
"""
ENTER_LATE = f"""
UPDATE messaging_command SET late_ms = %s, answer = COALESCE(answer, %s)
WHERE id = %s AND time = %s AND late_ms IS NULL RETURNING {_COMMAND}
"""

# The broker went down with everybody's connection. When exactly is not known: when that was last heard of, they were there.
DISCONNECT_ALL = """
WITH watch AS (SELECT until FROM messaging_presencewatch ORDER BY id DESC LIMIT 1), gone AS (
    UPDATE messaging_presence SET
        connected = false, disconnect_reason = 'broker', epoch = 0, sequence = 0,
        disconnected_at = LEAST(%(now)s, GREATEST(connected_at, (SELECT until FROM watch)))
    WHERE connected RETURNING device_id, disconnected_at
)
INSERT INTO messaging_presencechange (device_id, time, state, reason)
SELECT device_id, disconnected_at, 'disconnected', 'broker' FROM gone RETURNING device_id
"""
LAST_WATCH = "SELECT id, until FROM messaging_presencewatch ORDER BY id DESC LIMIT 1"
BEGIN_WATCH = "INSERT INTO messaging_presencewatch (began, until, lost) VALUES (%(now)s, %(now)s, false) RETURNING id"
EXTEND_WATCH = "UPDATE messaging_presencewatch SET until = %(now)s, lost = false WHERE id = %(id)s AND until <= %(now)s"
LOSE_WATCH = "UPDATE messaging_presencewatch SET lost = true WHERE id = %(id)s"

ALL_PRESENCE = """
SELECT p.device_id, p.connected FROM messaging_presence p
JOIN devices_device d ON d.id = p.device_id WHERE d.deleted_at IS NULL
"""
PRESENCE_COLUMNS = (
    "device_id", "connected", "connected_at", "disconnected_at", "reason", "address", "protocol", "tls", "last_message_at",
    "running", "asked_at", "answered_ms", "last_answer_at", "last_answer_api", "last_answer_ms", "refused_at", "refused_reason",
)  # fmt: skip
READ_PRESENCE = """
SELECT d.account_id, p.device_id, p.connected, p.connected_at, p.disconnected_at, p.disconnect_reason, host(p.address),
       p.protocol, p.tls, p.last_message_at, p.running, p.asked_at, p.answered_ms, p.last_answer_at, p.last_answer_api,
       p.last_answer_ms, p.refused_at, p.refused_reason
FROM messaging_presence p JOIN devices_device d ON d.id = p.device_id WHERE p.device_id = ANY(%s)
"""
KNOWN_LINKS = "SELECT device_id, epoch, sequence FROM messaging_presence WHERE device_id = ANY(%s)"
LINK_TEMPLATE = (
    "(%s::uuid, %s::boolean, %s::bigint, %s::bigint, %s::timestamptz, %s::timestamptz, %s::text, %s::inet, %s::text, %s::text)"
)
UPSERT_LINKS = """
INSERT INTO messaging_presence AS p
    (device_id, connected, epoch, sequence, connected_at, disconnected_at, disconnect_reason, address, protocol, tls,
     refused_reason, last_answer_api)
SELECT v.device_id, v.connected, v.epoch, v.sequence, v.connected_at, v.disconnected_at, v.reason, v.address, v.protocol, v.tls,
       '', ''
FROM (VALUES %s)
    AS v (device_id, connected, epoch, sequence, connected_at, disconnected_at, reason, address, protocol, tls)
JOIN devices_device d ON d.id = v.device_id
ON CONFLICT (device_id) DO UPDATE SET
    connected = excluded.connected,
    epoch = excluded.epoch,
    sequence = excluded.sequence,
    connected_at = COALESCE(excluded.connected_at, p.connected_at),
    disconnected_at = COALESCE(excluded.disconnected_at, p.disconnected_at),
    disconnect_reason = CASE
        WHEN excluded.disconnected_at IS NULL THEN p.disconnect_reason ELSE excluded.disconnect_reason END,
    address = COALESCE(excluded.address, p.address),
    protocol = COALESCE(NULLIF(excluded.protocol, ''), p.protocol),
    tls = COALESCE(NULLIF(excluded.tls, ''), p.tls)
RETURNING device_id, connected
"""
INSERT_CHANGES = "INSERT INTO messaging_presencechange (device_id, time, state, reason, address) VALUES %s"
# A device that tries again and again is one line of its timeline in ten minutes, unless the reason is another.
ENTER_REFUSALS = """
WITH v AS (
    SELECT * FROM (VALUES %s) AS v (device_id, at, reason, address, event)
), known AS (
    SELECT p.device_id, p.refused_at, p.refused_reason FROM messaging_presence p JOIN v USING (device_id)
), updated AS (
    UPDATE messaging_presence p SET refused_at = v.at, refused_reason = v.reason FROM v WHERE p.device_id = v.device_id
    RETURNING p.device_id
), told AS (
    INSERT INTO devices_deviceevent (id, device_id, time, kind, detail)
    SELECT v.event, v.device_id, v.at, 'refused', jsonb_build_object('reason', v.reason, 'address', v.address)
    FROM v JOIN known USING (device_id)
    WHERE known.refused_at IS NULL OR known.refused_reason <> v.reason
       OR abs(extract(epoch FROM v.at - known.refused_at)) > 600
)
SELECT device_id FROM updated
"""
REFUSAL_TEMPLATE = "(%s::uuid, %s::timestamptz, %s::text, %s::text, %s::uuid)"
# What comes later is the later, whatever its clock said; messages come in the order of their journal. What was before
# a claim is the former owner's.
UPDATE_STATUS = """
UPDATE messaging_presence p SET
    last_message_at = COALESCE(v.message_at, p.last_message_at),
    last_answer_at = COALESCE(v.answer_at, p.last_answer_at),
    last_answer_api = COALESCE(v.answer_api, p.last_answer_api),
    last_answer_ms = CASE WHEN v.answer_at IS NULL THEN p.last_answer_ms ELSE v.answer_ms END,
    running = COALESCE(v.running, p.running),
    asked_at = COALESCE(v.asked_at, p.asked_at),
    answered_ms = COALESCE(v.answered_ms, p.answered_ms)
FROM (
    SELECT u.device_id,
        CASE WHEN u.message_at >= d.since THEN u.message_at END AS message_at,
        CASE WHEN u.answer_at >= d.since THEN u.answer_at END AS answer_at,
        CASE WHEN u.answer_at >= d.since THEN u.answer_api END AS answer_api,
        u.answer_ms,
        CASE WHEN COALESCE(GREATEST(u.asked_at, u.message_at), 'infinity') >= d.since THEN u.running END AS running,
        CASE WHEN u.asked_at >= d.since THEN u.asked_at END AS asked_at,
        CASE WHEN u.asked_at >= d.since THEN u.answered_ms END AS answered_ms
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::float8[], %s::boolean[], %s::timestamptz[],
                %s::float8[])
        AS u (device_id, message_at, answer_at, answer_api, answer_ms, running, asked_at, answered_ms)
    JOIN (SELECT id, COALESCE(moved_at, '-infinity') AS since FROM devices_device) d ON d.id = u.device_id
) v
WHERE p.device_id = v.device_id
"""

# An answer reaches us as a message and, with the time it took, in its command's record, in either order (`ReadingFact.merged`).
UPSERT_READINGS = """
WITH written AS (
    INSERT INTO messaging_reading AS r (device_id, key, value, at, elapsed_ms)
    SELECT v.device_id, v.key, v.value, v.at, v.elapsed_ms
    FROM unnest(%s::uuid[], %s::text[], %s::jsonb[], %s::timestamptz[], %s::float8[]) AS v (device_id, key, value, at, elapsed_ms)
    JOIN devices_device d ON d.id = v.device_id AND v.at >= COALESCE(d.moved_at, '-infinity')
    ON CONFLICT (device_id, key) DO UPDATE SET
        value = excluded.value,
        at = GREATEST(excluded.at, r.at),
        elapsed_ms = CASE
            WHEN r.value = excluded.value AND abs(extract(epoch FROM excluded.at - r.at)) < 2
            THEN COALESCE(excluded.elapsed_ms, r.elapsed_ms) ELSE excluded.elapsed_ms END
    WHERE excluded.at >= r.at OR r.value = excluded.value AND r.at - excluded.at < interval '2 seconds'
       OR r.at > now() + interval '30 seconds'  -- it was said before the clock was set back
    RETURNING device_id, key, value, at, elapsed_ms
)
SELECT d.account_id, w.* FROM written w JOIN devices_device d ON d.id = w.device_id
"""
INSERT_PINS = """
INSERT INTO devices_pin (device_id, number, name)
SELECT v.device_id, v.number, '' FROM (VALUES %s) AS v (device_id, number) JOIN devices_device d ON d.id = v.device_id
ON CONFLICT (device_id, number) DO NOTHING
"""
