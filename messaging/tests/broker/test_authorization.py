"""The pure rules: who owns a client id, who may touch a topic."""

import pytest

from messaging.authorization import Identity, Kind, Refusal, identify, is_device_id, may
from messaging.tests.broker.conftest import DEVICE, OTHER

device = Identity(Kind.DEVICE, DEVICE)
gateway = Identity(Kind.GATEWAY, "portal.gateway")
bridge = Identity(Kind.BRIDGE, "portal.bridge")


@pytest.mark.parametrize(
    ("common_name", "client_id", "expected"),
    [
        (DEVICE, DEVICE, device),
        ("portal.gateway", "portal.gateway", gateway),
        ("portal.gateway", "portal.gateway.4f2a", gateway),
        ("portal.bridge", "portal.bridge", bridge),
    ],
)
def test_it_lets_a_certificate_own_its_client_id(common_name: str, client_id: str, expected: Identity) -> None:
    assert identify(common_name, client_id) == expected


@pytest.mark.parametrize(
    ("common_name", "client_id"),
    [
        (DEVICE, OTHER),
        (DEVICE, DEVICE.upper()),
        (DEVICE, DEVICE + ".1"),
        (DEVICE, DEVICE[:-1]),
        (DEVICE, ""),
        (DEVICE, "portal.gateway"),
        (DEVICE.upper(), DEVICE.upper()),
        ("portal.gateway", DEVICE),
        ("portal.gateway", "portal.bridge"),
        ("portal.gateway", "portal.gatewayx"),
        ("portal.bridge", "portal.gateway.1"),
        ("portal.admin", "portal.admin"),
        ("", ""),
        ("a" * 33, "a" * 33),
        (DEVICE + "\n", DEVICE + "\n"),
    ],
)
def test_it_refuses_a_client_id_that_is_not_the_certificates(common_name: str, client_id: str) -> None:
    assert isinstance(identify(common_name, client_id), Refusal)


@pytest.mark.parametrize(
    ("who", "action", "topic"),
    [
        (device, "publish", f"server/{DEVICE}/get_gpio"),
        (device, "publish", f"server/{DEVICE}/ünknown api"),
        (device, "subscribe", f"{DEVICE}/#"),
        (device, "subscribe", f"{DEVICE}/+"),
        (device, "subscribe", f"{DEVICE}/get_gpio"),
        (device, "receive", f"{DEVICE}/get_gpio"),
        (gateway, "publish", f"{DEVICE}/get_gpio"),
        (gateway, "subscribe", f"server/{DEVICE}/#"),
        (gateway, "receive", f"server/{DEVICE}/get_gpio"),
        (bridge, "subscribe", "#"),
        (bridge, "subscribe", "$SYS/portal/#"),
        (bridge, "receive", f"server/{DEVICE}/get_gpio"),
        (bridge, "receive", f"{DEVICE}/get_gpio"),
        (bridge, "receive", f"$SYS/portal/connections/{DEVICE}"),
    ],
)
def test_it_allows_what_is_ones_own(who: Identity, action: str, topic: str) -> None:
    assert may(who, action, topic)


@pytest.mark.parametrize(
    ("who", "action", "topic"),
    [
        (device, "publish", f"server/{OTHER}/get_gpio"),
        (device, "publish", f"{DEVICE}/get_gpio"),
        (device, "publish", f"{OTHER}/get_gpio"),
        (device, "publish", f"server/{DEVICE}"),
        (device, "publish", f"server/{DEVICE}/"),
        (device, "publish", f"server//{DEVICE}"),
        (device, "publish", f"/server/{DEVICE}/x"),
        (device, "publish", f"server/{DEVICE}/a/b"),
        (device, "publish", f"server/{DEVICE}/+"),
        (device, "publish", f"server/{DEVICE}/#"),
        (device, "publish", f"server/{DEVICE}/a\0b"),
        (device, "publish", f"server/{DEVICE}/" + "x" * 250),
        (device, "publish", f"$SYS/portal/connections/{DEVICE}"),
        (device, "publish", ""),
        (device, "subscribe", "#"),
        (device, "subscribe", "+"),
        (device, "subscribe", "+/x"),
        (device, "subscribe", "+/#"),
        (device, "subscribe", "$SYS/#"),
        (device, "subscribe", "$share/g/#"),
        (device, "subscribe", DEVICE),
        (device, "subscribe", f"{OTHER}/#"),
        (device, "subscribe", f"server/{DEVICE}/#"),
        (device, "subscribe", f"{DEVICE}/a#"),
        (device, "subscribe", f"{DEVICE}/#/a"),
        (device, "subscribe", f"{DEVICE}/a+"),
        (device, "receive", f"{OTHER}/get_gpio"),
        (device, "receive", f"{DEVICE}/#"),
        (device, "delete", f"{DEVICE}/get_gpio"),
        (gateway, "publish", f"server/{DEVICE}/get_gpio"),
        (gateway, "publish", f"{DEVICE}"),
        (gateway, "publish", f"{DEVICE}/a/b"),
        (gateway, "publish", "$SYS/portal/connections/x"),
        (gateway, "subscribe", "#"),
        (gateway, "subscribe", "server/#"),
        (gateway, "subscribe", "server/+/#"),
        (gateway, "subscribe", f"{DEVICE}/#"),
        (gateway, "subscribe", "$SYS/portal/#"),
        (bridge, "publish", f"{DEVICE}/get_gpio"),
        (bridge, "publish", f"server/{DEVICE}/get_gpio"),
        (bridge, "subscribe", "$SYS/#"),
        (bridge, "subscribe", "$SYS/other"),
    ],
)
def test_it_refuses_everything_else(who: Identity, action: str, topic: str) -> None:
    assert not may(who, action, topic)


def test_a_device_id_is_32_lowercase_hex_digits() -> None:
    assert is_device_id("0123456789abcdef" * 2)
    assert not is_device_id("0123456789ABCDEF" * 2)
    assert not is_device_id("٠" * 32)
