"""What RabbitMQ may be told: the table of decisions, by the rules that every broker asks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pytest_django import Settings

from messaging.authorization import Action, Identity, Kind, Refusal, may
from messaging.rabbitmq import config, names
from messaging.rabbitmq.decisions import decide

ONE, OTHER = "1" * 32, "2" * 32


def admit(device: str, password: str | None) -> Identity | Refusal:
    return Identity(Kind.DEVICE, device) if device == ONE and password in {None, "right"} else Refusal("no")


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"username": ONE}, "allow"),
        ({"username": ONE, "password": "right"}, "allow"),
        ({"username": ONE, "password": ""}, "deny"),  # no way round the password by leaving it empty
        ({"username": ONE, "password": "wrong"}, "deny"),
        ({"username": OTHER}, "deny"),
        ({}, "deny"),
    ],
)
def test_a_login_is_the_registrys_to_decide(fields: dict[str, str], answer: str) -> None:
    assert decide("user", fields, admit) == answer


@pytest.mark.parametrize(
    ("client_id", "answer"), [(ONE, "allow"), (OTHER, "deny"), (f"{ONE}x", "deny"), ("portal.gateway", "deny")]
)
def test_an_mqtt_client_has_its_own_client_id(client_id: str, answer: str) -> None:
    assert decide("vhost", {"username": ONE, "vhost": "/", "client_id": client_id}, admit) == answer


def test_a_client_without_one_speaks_amqp_and_is_let_in_where_devices_may(settings: Settings) -> None:
    for fields in ({"username": ONE, "vhost": "/"}, {"username": ONE, "vhost": "/", "client_id": ""}):
        assert decide("vhost", fields, admit) == "deny"
        settings.AMQP_DEVICES = True
        assert decide("vhost", fields, admit) == "allow"
        assert decide("vhost", {**fields, "username": "guest"}, admit) == "deny"
        settings.AMQP_DEVICES = False


def test_no_device_has_another_vhost_and_no_service_comes_this_way() -> None:
    assert decide("vhost", {"username": ONE, "vhost": "other"}, admit) == "deny"
    for service in (names.GATEWAY, names.BRIDGE, names.MANAGER, "guest"):
        assert decide("vhost", {"username": service, "vhost": "/"}, admit) == "deny"


@pytest.mark.parametrize(
    ("kind", "name", "permission", "answer"),
    [
        ("queue", names.device_queue(ONE), "configure", "allow"),
        ("queue", names.device_queue(ONE), "read", "allow"),
        ("queue", f"mqtt-subscription-{ONE}qos0", "write", "allow"),
        ("queue", names.device_queue(OTHER), "read", "deny"),
        ("queue", names.STREAM, "read", "deny"),
        ("queue", f"{names.device_queue(ONE)}x", "configure", "deny"),
        ("queue", "amq.gen-1", "configure", "deny"),
        ("exchange", "amq.topic", "write", "allow"),
        ("exchange", "amq.topic", "read", "allow"),
        ("exchange", "amq.topic", "configure", "deny"),
        ("exchange", "amq.default", "write", "deny"),  # would reach any queue by its name
        ("exchange", names.EVENTS, "read", "deny"),
        ("other", "amq.topic", "read", "deny"),
    ],
)
def test_a_device_has_its_own_queue_and_the_one_exchange(kind: str, name: str, permission: str, answer: str) -> None:
    fields = {"username": ONE, "vhost": "/", "resource": kind, "name": name, "permission": permission}
    assert decide("resource", fields, admit) == answer


@pytest.mark.parametrize(
    ("permission", "key", "answer"),
    [
        ("read", f"{ONE}.#", "allow"),
        ("read", f"{ONE}.*", "allow"),
        ("read", "#", "deny"),
        ("read", f"*.{ONE}", "deny"),
        ("read", f"{OTHER}.#", "deny"),
        ("read", f"server.{ONE}.#", "deny"),
        ("write", f"server.{ONE}.get_gpio", "allow"),
        ("write", f"server.{OTHER}.get_gpio", "deny"),
        ("write", f"server.{ONE}", "deny"),
        ("write", f"server.{ONE}.a.b", "deny"),
        ("write", f"server.{ONE}.#", "deny"),
        ("write", f"{OTHER}.set_gpio", "deny"),
        ("write", f"{ONE}.set_gpio", "deny"),
        ("configure", f"{ONE}.#", "deny"),
        ("write", "", "deny"),
    ],
)
def test_a_device_touches_its_own_topics(permission: str, key: str, answer: str) -> None:
    fields = {"username": ONE, "vhost": "/", "resource": "topic", "name": "amq.topic", "permission": permission}
    assert decide("topic", {**fields, "routing_key": key}, admit) == answer


def test_what_is_no_question_is_denied() -> None:
    assert decide("other", {"username": ONE}, admit) == "deny"


def test_the_portals_own_users_have_in_rabbitmq_the_rules_of_every_broker() -> None:
    told = {one["user"]: one for one in json.loads(json.dumps(config.definitions()))["topic_permissions"]}
    gateway = Identity(Kind.GATEWAY, names.GATEWAY)
    for topic in (f"{ONE}/get_gpio", f"{ONE}/a/b", f"server/{ONE}/get_gpio", "x/get_gpio", f"{ONE}/", ONE):
        allowed = re.search(told[names.GATEWAY]["write"], names.to_routing_key(topic)) is not None
        assert allowed == may(gateway, Action.PUBLISH, topic), topic
    for topic_filter in (f"server/{ONE}/#", f"server/{ONE}/get_gpio", "#", "server/#", "server/+/#", f"{ONE}/#"):
        allowed = re.search(told[names.GATEWAY]["read"], names.to_routing_key(topic_filter).replace("+", "*")) is not None
        assert allowed == may(gateway, Action.SUBSCRIBE, topic_filter), topic_filter
    assert re.search(told[names.BRIDGE]["write"], f"{ONE}.set_gpio") is None


def test_the_files_are_for_their_owner_alone_and_open_no_plain_listener(tmp_path: Path) -> None:
    listeners = config.Listeners("0.0.0.0", 5671, 8883, 15672, 15692)  # noqa: S104 - nothing listens here
    written = config.write(tmp_path / "etc", listeners, tmp_path, "http://127.0.0.1:8079/secret")
    assert [path.name for path in written] == ["rabbitmq.conf", "enabled_plugins", "definitions.json"]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    text = written[0].read_text()
    assert "listeners.tcp = none" in text
    assert "ssl_options.fail_if_no_peer_cert = true" in text
    assert "PLAIN" not in text
    assert "management.tcp.ip = 127.0.0.1" in text
