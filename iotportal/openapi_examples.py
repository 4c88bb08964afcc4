"""Examples for the API's description: every body and answer gets one that its own schema allows.

They are put together from what each field may hold: an example of its own, the word below for its name, its default or first
choice. So a new field needs a word here, and the test of the description names the one that has none.
"""

from __future__ import annotations

import json
from typing import Any

from iotportal.problems import TITLES, problem_body

Schema = dict[str, Any]

_ID, _UUID = "0123456789abcdef0123456789abcdef", "0a4f2c9e-7b31-4d58-9c6e-2f1d8b7a6c50"
_CURSOR = "AAAGX0a_yT0QAaIK8jozdWO2Y8RbuXLB4Q"
_MOMENT = "2026-11-02T08:15:30.250000Z"
_BASE = "https://portal.example.com/api/v1"
_SENT = {
    "id": "01a20af23a337563b663c45bb972c1e1", "device": _ID, "api": "get_ip", "payload": "{}",
    "answer": {"value": "192.168.1.20"}, "text": None, "attempts": 1,
    "timeline": {"accepted": 0.0, "sent": 0.44, "broker": 0.95, "answered": 37.86, "delivered": 37.9},
}  # fmt: skip
_FIELD = {
    "name": "number", "type": "integer", "title": "GPIO number", "help": "", "required": True, "minimum": 0, "maximum": 255,
    "min_bytes": 0, "max_bytes": None, "format": "", "unit": "", "default": None, "choices": [],
}  # fmt: skip
_DOCUMENT = {
    "name": "Soil probe",
    "apis": {
        "get_soil": {
            "title": "Soil moisture", "kind": "get", "tile": "form", "answer": [{"name": "value", "type": "number", "unit": "%"}],
        }
    },
}  # fmt: skip


def _pem(what: str) -> str:
    return f"-----BEGIN {what}-----\nMIIBszCC…\n-----END {what}-----\n"


WORDS: dict[str, Any] = {  # by "Component.field", or by field for all
    "username": "alice", "first_name": "Alice", "last_name": "Ames", "time_zone": "Europe/Stockholm", "language": "en",
    "User.delete_at": None, "User.theme": "dark", "PatchedProfileRequest.theme": "dark", "invited_by": "alice",
    "name": "Pump", "OwningAccount.name": "Waterworks", "OwningAccount.kind": "organisation", "OwningAccount.role": "owner",
    "Organisation.name": "Waterworks", "PatchedOrganisationChangesRequest.name": "Waterworks",
    "Owner.name": "alice", "Owner.role": "owner", "role": "operator",
    "Member.email": "alice@example.com", "period": "2026-11", "used": 1204, "limit": 100_000,
    "ApiToken.name": "grafana", "MadeToken.name": "grafana", "NewTokenRequest.name": "grafana", "Token.name": "grafana",
    "scopes": ["read", "control"], "prefix": "iotp_3kd0a", "MadeToken.token": "iotp_3kd0a…", "NewTokenRequest.expires_at": None,
    "agent": "Firefox 128 on Linux", "address": "192.0.2.7", "Session.current": True, "ended": 2,
    "Root.account": f"{_BASE}/account", "Root.accounts": f"{_BASE}/accounts", "Root.devices": f"{_BASE}/devices",
    "Root.profiles": f"{_BASE}/profiles", "Root.messages": f"{_BASE}/messages", "Root.schema": f"{_BASE}/schema",
    "Root.docs": f"{_BASE}/docs", "next": None, "previous": None,
    "DevicePage.next": f"{_BASE}/devices?cursor={_CURSOR}", "MessagePage.next": f"{_BASE}/messages?cursor={_CURSOR}",
    "api": "set_gpio", "payload": '{"number": 10, "value": 1}', "arguments": {"number": 10, "value": 1},
    "commands": {"ip": _SENT}, "Answered.answer": {"number": 10, "value": 1}, "Command.answer": '{"number": 10, "value": 1}',
    "Command.outcome": "answered", "value": 1,
    "Answered.text": None, "attempts": 1, "timeout_s": 5.0, "sent": 0.44, "broker": 0.95,
    "answered": 37.86, "delivered": 37.9, "sent_ms": 0.44, "broker_ms": 0.95, "answered_ms": 37.86, "delivered_ms": 37.9,
    "late_ms": None, "ClockRequestRequest.value": 1_574_000_000, "TextRequestRequest.value": "hello world",
    "recipient": "alice@example.com", "message": "The tank is full.", "topic": f"server/{_ID}/set_gpio",
    "field": "value", "only_field": "number", "only_value": "10", "every_minutes": 60, "urgent": False,
    "told_value": "1", "Rule.value": "1",
    "NewRuleRequest.device": _ID, "NewRuleRequest.value": "1", "PatchedRuleWordsRequest.value": "1", "Rule.api": "get_gpio",
    "NewRuleRequest.api": "get_gpio",
    "PatchedRuleWordsRequest.api": "get_gpio",
    "size_bytes": 26, "direction": "from", "ip": "192.168.1.20", "subnet": "255.255.255.0", "gateway": "192.168.1.1",
    "mac": "00:1b:44:11:3a:b7", "profile": "standard", "pattern": "Pump {n}", "count": 100, "version": 1,
    "lines": [{"number": 1, "name": "Pump 1", "profile": "standard", "state": "registered",
               "device": "0123456789abcdef0123456789abcdef", "error": ""}],
    "total": 1, "registered": 1, "failed": 0, "why": "", "archive_sha256": "9f86d081884c7d659a2feaa0c55ad015" * 2,
    "Job.status": "done", "JobWithLines.status": "done", "password": "a long way to go", "host": "mqtt.example.com", "port": 8884,
    "Secret.password": "kX2…", "Secret.allowed": True, "SecretState.allowed": True, "ClaimCode.code": "K7QF-3MXD-92TB",
    "ClaimRequest.code": "K7QF-3MXD-92TB", "csr": _pem("CERTIFICATE REQUEST"), "certificate": _pem("CERTIFICATE"),
    "root_ca": _pem("CERTIFICATE"), "private_key": _pem("PRIVATE KEY"), "serial": "5f0a9c3e", "issuer": "a1b2c3d4",
    "fingerprint": "2c26b46b68ffc68ff99b453c1d304134" * 2, "key_algorithm": "ec", "key_bits": 256, "key_kept": True,
    "retires_at": None, "revoked_at": None, "revocation_reason": None, "tried_at": None, "rescued_until": None, "shared_at": None,
    "RevokeRequest.reason": "key_compromise", "Presence.state": "connected", "connected": True, "running": True,
    "disconnect_reason": "lost", "disconnect_reason_text": "The connection broke", "protocol": "MQTT 3.1.1", "tls": "TLSv1.3",
    "Presence.last_answer_ms": 37.86, "last_answer_api": "set_gpio", "refused_at": None, "refused_reason": "",
    "offline_after_minutes": 10, "hint": "", "Drops.hour": 0, "Drops.day": 1, "online_s": 86_100.0,
    "offline_s": 300.0, "unknown_s": 0.0, "share": 0.9965, "outages": 1, "Uptime.text": "99.7 %", "unknown": [],
    "Change.state": "disconnected", "Change.text": "The connection broke", "Change.reason": "lost",
    "TimelineLine.kind": "renamed", "what": "Renamed", "TimelineLine.text": "from Pump 1 to Pump", "TimelineLine.detail":
    {"before": "Pump 1", "after": "Pump", "by": "alice"}, "slug": "standard", "Profile.id": None, "WholeProfile.id": None,
    "Profile.version": None, "WholeProfile.version": None, "Profile.name": "Standard", "WholeProfile.name": "Standard",
    "description": "The documented apis, as devices in the field speak them.", "payload_limit_bytes": None,
    "answer_limit_bytes": None, "retry_after_s": 1.0, "settle_s": 0.0, "lacks": [], "document": _DOCUMENT,
    "Api.name": "get_gpio", "Api.tile": "gpio",
    "title": "Read a pin", "help": "", "fields": [_FIELD], "Api.answer": [_FIELD], "echo": ["number"],
    "Api.timeout_s": None, "copy_of": "modern", "expires_at": "2027-11-02T08:15:30Z", "Token.expires_at": None,
    "ApiToken.expires_at": None, "MadeToken.expires_at": None, "MadeToken.last_used_at": None,
    "not_after": "2027-11-02T08:15:30Z",
    "Order.status": "paid", "MadeOrder.status": "created", "MadeOrder.paid_at": None, "MadeOrder.receipt": None,
    "MadeOrder.payments": [], "Transaction.status": "completed", "Transaction.kind": "payment", "currency": "USD",
    "price": "12.50",
    "amount": "12.50", "tax": "2.50", "country": "SE", "credits": 1000, "receipt": 1042, "reference": "8MC585209K746392H",
    "approval_url": "https://www.sandbox.paypal.com/cgi-bin/webscr?cmd=_xclick", "package": 1, "debt": 0, "left": 98_796,
    "bonus_credits": 0, "percent": 0, "PromoRedemption.credits": 500, "PromoRedemption.order": None,
    "PromoRedemption.code": "SUMMER2026", "PromoCodeRequestRequest.code": "SUMMER-2026",
    "messages": 412, "Owner.messages": {"period": "2026-11", "used": 1204, "limit": 100_000},
    "subject": "Pump: The tank is full.", "Notification.status": "sent", "NotificationDetail.status": "sent",
    "Notification.credits": 1,
    "NotificationDetail.credits": 1,
    "Notification.reason": "", "NotificationDetail.reason": "", "reason_text": "", "detail": "", "tries": 1,
    "Recipient.address": "alice@example.com", "NewRecipientRequest.address": "alice@example.com", "sender": "smtp",
    "Webhook.name": "garage", "MadeWebhook.name": "garage", "NewWebhookRequest.name": "garage", "Service.name": "team",
    "NewServiceRequest.name": "team", "Webhook.recipient": "webhook:garage", "MadeWebhook.recipient": "webhook:garage",
    "Service.recipient": "apprise:team", "Webhook.host": "hooks.example.com", "MadeWebhook.host": "hooks.example.com",
    "Service.host": "Telegram", "MadeWebhook.secret": "whsec_…", "NewWebhookRequest.url": "https://hooks.example.com/portal",
    "NewServiceRequest.url": "tgram://123456789:abcdefg_hijklmnop/987654321", "Estimate.credits": 1, "pays_for": 10,
    "Estimate.left": 0, "Estimate.country": "", "segments": None, "is_cut": False, "Estimate.reason": "",
    "took_ms": 84.2, "vendor_id": "", "NotificationDetail.attempts": [
        {"at": _MOMENT, "sender": "smtp", "outcome": "accepted", "took_ms": 84.2, "vendor_id": "", "detail": ""}],
    "disconnected_at": "2026-11-02T08:10:30Z", "ended_at": "2026-11-02T08:16:02Z", "until": "2026-11-03T08:15:30Z",
    "Span.until": "2026-11-02T08:20:30Z",
}  # fmt: skip
WHOLE: dict[str, Any] = {  # bodies of which some fields exclude others
    "BeginJobRequest": {"pattern": "Pump {n}", "count": 100, "first": 1, "profile": "standard"},
    "RegisterRequest": {"name": "Greenhouse pump", "profile": "standard"},
    "RenewRequest": {"key_algorithm": "ec"},
    "SaveProfileRequest": {"version": 1, "document": _DOCUMENT},
    "MakeProfileRequest": {"name": "Garden", "copy_of": "modern"},
    "CommandRequestRequest": {"api": "get_gpio", "arguments": {"number": 10}, "timeout": 2.5},
    "EmptyRequestRequest": {},
    "NothingRequest": {},
}
_ANSWERS: dict[str, dict[str, Any]] = {  # what a command answers, where that is not a pin that was set
    "gpio_read": {"api": "get_gpio", "payload": '{"number": 10}'},
    "apis_get": {"api": "get_gpio", "payload": '{"number": 10}'},
    "commands_send": {"api": "get_gpio", "payload": '{"number": 10}'},
    "rtc_read": {"api": "get_rtc", "payload": "{}", "answer": {"value": 1_574_000_000}, "value": 1_574_000_000},
    "rtc_set": {"api": "set_rtc", "payload": '{"value": 1574000000}', "answer": {"value": 1_574_000_000}, "value": 1_574_000_000},
    "status_read": {"api": "get_status", "payload": "{}", "answer": {"value": "running"}, "value": "running"},
    "restart": {"api": "set_status", "payload": '{"value": "restart"}', "answer": {"value": "restarting"}, "value": "restarting"},
    "uart_write": {"api": "write_uart", "payload": '{"value": "hello world"}', "answer": {"value": "hello world"},
                   "value": "hello world"},
    "notifications_trigger": {
        "api": "trigger_notification", "payload": '{"recipient": "alice@example.com", "message": "The tank is full."}',
        "answer": {"value": "ok"}, "value": "ok",
    },
}  # fmt: skip
_FREE: dict[str, Any] = {  # bodies whose form a device's profile says, or another document
    "apis_set": {"number": 10, "value": 1},
    "devices_profile": _DOCUMENT,
    "schema": {"openapi": "3.0.3", "info": {"title": "IoT Portal API", "version": "1"}, "paths": {}},
}
_PARAMETERS: dict[str, Any] = {  # by name, where the parameter itself says nothing; a cursor comes from the page before
    "timeout": 2.5, "number": 10, "api": "get_gpio", "fields": {"number": "10"}, "text": "pump", "name": "Pump",
    "slug": "standard",
    "since": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z", "page_size": 20, "account": _ID, "device": _ID,
    "Idempotency-Key": _UUID, "cursor": _CURSOR,
}  # fmt: skip
_BY_FORMAT = {
    "date-time": _MOMENT,
    "date": _MOMENT[:10],
    "uuid": _UUID,
    "email": "alice@example.com",
}
_REFUSALS = {  # code and detail of a typical one
    400: ("invalid", "Some fields are not right."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    402: ("quota_exceeded", "All messages of this month are used. Nothing was sent."),
    403: ("forbidden", "Your role in this account does not allow that."),
    404: ("not_found", "No such device."),
    405: ("method_not_allowed", "set_gpio is set with PUT."),
    406: ("not_acceptable", "Could not satisfy the request Accept header."),
    409: ("idempotency_in_progress", "The first request with this key is still under way."),
    413: ("too_large", "The body may have 64 KiB."),
    415: ("unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
    422: ("idempotency_key_reused", "This key was used for another request. Make a new one."),
    429: ("throttled", "Too many requests. Wait a little, then try again."),
    502: ("malformed_answer", "The device's answer could not be read."),
    503: ("unavailable", "The portal cannot reach its own data right now. Try again soon."),
    504: ("device_timeout", "No answer in 5 s."),
}


class Examples:
    """Makes the examples of one description."""

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components = components

    def of(self, schema: Schema, name: str = "") -> Any:
        """Return an example of `schema`, or None where there is no word for it. `name`: its "Component.field"."""
        if (word := next((one for one in (name, name.rpartition(".")[2]) if one in WORDS), None)) is not None:
            return schema.get("example", WORDS[word])
        if "$ref" in schema:
            component = schema["$ref"].rpartition("/")[2]
            return WHOLE[component] if component in WHOLE else self.of(self._components[component], component)
        stated = [schema[key] for key in ("example", "default") if schema.get(key) is not None]
        return stated[0] if stated else self._made(schema, name)

    def _made(self, schema: Schema, name: str) -> Any:
        for several in ("allOf", "oneOf", "anyOf"):
            if several in schema:
                return self.of(schema[several][0])
        if "enum" in schema:
            return schema["enum"][0]
        if "properties" in schema:
            made = {key: self.of(one, f"{name}.{key}") for key, one in schema["properties"].items()}
            return {key: value for key, value in made.items() if value is not None or key in schema.get("required", made)}
        if schema.get("type") == "array":
            return [self.of(schema["items"], f"{name}.items")]
        if schema.get("type") in {"integer", "number"}:
            return max(0, schema.get("minimum", 0))
        plain = {"boolean": False, "object": {}, "string": None if "pattern" in schema or "minLength" in schema else "…"}
        return _BY_FORMAT.get(schema.get("format", ""), plain.get(schema.get("type", "")))


def add_examples(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Give each body, answer and refusal of a description its example; called by drf-spectacular once it is made."""
    components = result.get("components", {})
    examples = Examples(components.get("schemas", {}))
    refusals = components.setdefault("examples", {})
    for operation in (one for methods in result["paths"].values() for one in methods.values()):
        for one in operation.get("parameters", []):
            _show(one)
        _add_to(operation.get("requestBody", {}), examples, operation["operationId"])
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                _add_to(answer, examples, operation["operationId"])
                continue
            refusals.setdefault(f"Problem{status}", {"value": _refusal(int(status))})
            for media in answer["content"].values():
                media["examples"] = {"problem": {"$ref": f"#/components/examples/Problem{status}"}}
    return result


def _show(parameter: dict[str, Any]) -> None:
    """Give a parameter its example; one that may be left out has it in words, or a page that tries it would send it."""
    name, schema = parameter["name"], parameter["schema"]
    example: Any
    if name.endswith("_id"):
        example = _UUID if schema.get("format") == "uuid" else _ID
    elif name in _PARAMETERS and not {"enum", "example"} & schema.keys():
        example = _PARAMETERS[name]
    else:
        return
    if parameter.get("required"):
        parameter.setdefault("example", example)
    elif "example" not in parameter:
        text = example if isinstance(example, str) else json.dumps(example)
        parameter["description"] = f"{parameter.get('description', '')} Such as `{text}`.".strip()


def _add_to(body: dict[str, Any], examples: Examples, operation: str) -> None:
    for media in body.get("content", {}).values():
        if "examples" in media or media["schema"].get("format") == "binary":
            continue
        found = _FREE[operation] if operation in _FREE and "$ref" not in media["schema"] else examples.of(media["schema"])
        if media["schema"].get("$ref", "").endswith("/Answered"):
            found = {**found, **_ANSWERS.get(operation, {})}
        media["example"] = found


def _refusal(status: int) -> dict[str, Any]:
    code, detail = _REFUSALS.get(status, ("error", TITLES.get(status, "Error")))
    errors = {"name": ["This field may not be blank."]} if status == 400 else {}
    return problem_body(status, code, detail, errors)
