"""What operators see of connections, and cut."""

import pytest
import redis
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.operators import bring_up_to_date
from devices.models import Device, EventKind
from devices.tests.factories import make_account, make_device
from messaging.broker.valkey import DISCONNECT_CHANNEL
from messaging.models import Presence

LIST = reverse("admin:messaging_presence_changelist")


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator", "operator@example.org", "x"))
    return client


def connected(name: str, owner: str) -> Device:
    device = make_device(make_account(owner), name)
    Presence.objects.filter(device=device).update(
        connected=True, connected_at=timezone.now(), address="192.0.2.7", protocol="MQTT 3.1.1"
    )
    return device


def page(client: Client, **query: str) -> str:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_who_is_connected_is_listed_with_owner_address_and_certificate_in_as_many_queries(pki: None, operator: Client) -> None:
    gone, asked = make_device(make_account("zoe"), "Gone"), []
    for number in range(3):
        pump = connected(f"Pump {number}", f"owner{number}")
        with CaptureQueriesContext(connection) as queries:
            html = page(operator)
        asked.append(len(queries))
    assert asked[1] == asked[2]
    assert "Live connections" in html
    for shown in (pump.hex, "owner2", "192.0.2.7", pump.certificates.get().serial[:16]):
        assert shown in html
    assert gone.hex not in html
    assert pump.hex in page(operator, q=pump.hex)
    assert pump.hex not in page(operator, q="owner1")


def cut(client: Client, device: Device, why: str) -> None:
    client.post(LIST, {"action": "disconnect", "_selected_action": [str(device.pk)], "confirmed": "yes", "why": why})


@pytest.fixture
def olga(client: Client) -> Client:
    """Return the browser of somebody who is in the group and no superuser."""
    bring_up_to_date(apps.get_app_config("messaging"))  # a test with transactions leaves the tables empty
    user = User.objects.create_user("olga", "olga@example.org", "x", is_staff=True)
    user.groups.add(Group.objects.get(name="Operators"))
    client.force_login(user)
    return client


@pytest.mark.django_db(transaction=True)
def test_an_operator_cuts_a_connection_with_a_reason_that_stands_in_the_log(pki: None, olga: Client, clean_valkey: None) -> None:
    pump, lamp = connected("Pump", "alice"), connected("Lamp", "bob")
    with redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True) as valkey, valkey.pubsub() as orders:
        orders.subscribe(DISCONNECT_CHANNEL)
        orders.get_message(timeout=5)
        cut(olga, pump, "")
        assert not LogEntry.objects.exists()
        cut(olga, pump, "Floods the broker")
        order = orders.get_message(timeout=5)
        assert order is not None
        assert order["data"] == f"{pump.hex} operator"
    assert pump.events.get(kind=EventKind.CUT).detail == {"by": "olga"}
    assert not lamp.events.filter(kind=EventKind.CUT).exists()
    assert LogEntry.objects.get().get_change_message() == "Disconnect: Floods the broker"


def test_staff_who_may_only_look_cut_nobody(pki: None, db: None, client: Client) -> None:
    pump = connected("Pump", "alice")
    staff = User.objects.create_user("staff", "staff@example.org", "x", is_staff=True)
    client.force_login(staff)
    assert client.get(LIST).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_presence"))
    assert "Pump" in page(client)
    cut(client, pump, "Because")
    assert not pump.events.filter(kind=EventKind.CUT).exists()
