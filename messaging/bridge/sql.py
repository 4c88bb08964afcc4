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
INSERT_COMMANDS = f"""
INSERT INTO messaging_command ({_COMMAND.removesuffix(", late_ms")}) VALUES %s
ON CONFLICT (id, time) DO NOTHING RETURNING {_COMMAND}
"""
ENTER_LATE = f"""
UPDATE messaging_command SET late_ms = %s, answer = COALESCE(answer, %s)
WHERE id = %s AND time = %s AND late_ms IS NULL RETURNING {_COMMAND}
"""

# The broker went down with everybody's connection. When exactly is not known; they were there when last heard.
DISCONNECT_ALL = """
UPDATE messaging_presence
SET connected = false, disconnect_reason = 'lost', disconnected_at = GREATEST(connected_at, last_seen_at)
WHERE connected RETURNING device_id
"""
ALL_PRESENCE = """
SELECT p.device_id, p.connected FROM messaging_presence p
JOIN devices_device d ON d.id = p.device_id WHERE d.deleted_at IS NULL
"""
PRESENCE_COLUMNS = (
    "device_id", "connected", "connected_at", "disconnected_at", "reason", "address", "protocol", "tls", "last_seen_at",
    "running", "asked_at", "answered_ms",
)  # fmt: skip
READ_PRESENCE = """
SELECT d.account_id, p.device_id, p.connected, p.connected_at, p.disconnected_at, p.disconnect_reason, host(p.address),
       p.protocol, p.tls, p.last_seen_at, p.running, p.asked_at, p.answered_ms
FROM messaging_presence p JOIN devices_device d ON d.id = p.device_id WHERE p.device_id = ANY(%s)
"""
LINK_TEMPLATE = "(%s::uuid, %s::boolean, %s::timestamptz, %s::timestamptz, %s::text, %s::inet, %s::text, %s::text)"
# The broker tells again what it told before (retained); what is older than known, or the same, changes nothing.
UPSERT_LINKS = """
INSERT INTO messaging_presence AS p
    (device_id, connected, connected_at, disconnected_at, disconnect_reason, address, protocol, tls, last_seen_at)
SELECT v.device_id, v.connected, v.connected_at, v.disconnected_at, v.reason, v.address, v.protocol, v.tls, v.connected_at
FROM (VALUES %s) AS v (device_id, connected, connected_at, disconnected_at, reason, address, protocol, tls)
JOIN devices_device d ON d.id = v.device_id
ON CONFLICT (device_id) DO UPDATE SET
    connected = excluded.connected,
    connected_at = COALESCE(excluded.connected_at, p.connected_at),
    disconnected_at = COALESCE(excluded.disconnected_at, p.disconnected_at),
    disconnect_reason = COALESCE(NULLIF(excluded.disconnect_reason, ''), p.disconnect_reason),
    address = COALESCE(excluded.address, p.address),
    protocol = COALESCE(NULLIF(excluded.protocol, ''), p.protocol),
    tls = COALESCE(NULLIF(excluded.tls, ''), p.tls),
    last_seen_at = GREATEST(p.last_seen_at, excluded.last_seen_at)
WHERE GREATEST(excluded.connected_at, excluded.disconnected_at)
        >= COALESCE(GREATEST(p.connected_at, p.disconnected_at), '-infinity')
    AND (p.connected, p.connected_at, p.disconnected_at) IS DISTINCT FROM (
        excluded.connected,
        COALESCE(excluded.connected_at, p.connected_at),
        COALESCE(excluded.disconnected_at, p.disconnected_at)
    )
RETURNING device_id, connected
"""
UPDATE_STATUS = """
UPDATE messaging_presence p SET
    last_seen_at = GREATEST(p.last_seen_at, v.seen),
    running = COALESCE(v.running, p.running),
    asked_at = GREATEST(p.asked_at, v.asked_at),
    answered_ms = COALESCE(v.answered_ms, p.answered_ms)
FROM unnest(%s::uuid[], %s::timestamptz[], %s::boolean[], %s::timestamptz[], %s::float8[])
    AS v (device_id, seen, running, asked_at, answered_ms)
WHERE p.device_id = v.device_id
"""

READING_TEMPLATE = "(%s::uuid, %s::text, %s::jsonb, %s::timestamptz, %s::float8)"
# An answer reaches us as a message and, with the time it took, in its command's record, in either order (`ReadingFact.merged`).
UPSERT_READINGS = """
WITH written AS (
    INSERT INTO messaging_reading AS r (device_id, key, value, at, elapsed_ms)
    SELECT v.device_id, v.key, v.value, v.at, v.elapsed_ms FROM (VALUES %s) AS v (device_id, key, value, at, elapsed_ms)
    JOIN devices_device d ON d.id = v.device_id
    ON CONFLICT (device_id, key) DO UPDATE SET
        value = excluded.value,
        at = GREATEST(excluded.at, r.at),
        elapsed_ms = CASE
            WHEN r.value = excluded.value AND abs(extract(epoch FROM excluded.at - r.at)) < 2
            THEN COALESCE(excluded.elapsed_ms, r.elapsed_ms) ELSE excluded.elapsed_ms END
    WHERE excluded.at >= r.at OR r.value = excluded.value AND r.at - excluded.at < interval '2 seconds'
    RETURNING device_id, key, value, at, elapsed_ms
)
SELECT d.account_id, w.* FROM written w JOIN devices_device d ON d.id = w.device_id
"""
INSERT_PINS = """
INSERT INTO devices_pin (device_id, number, name)
SELECT v.device_id, v.number, '' FROM (VALUES %s) AS v (device_id, number) JOIN devices_device d ON d.id = v.device_id
ON CONFLICT (device_id, number) DO NOTHING
"""
