import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Account, User
from devices.models import Certificate, Device
from devices.services import delete_device
from devices.tests.factories import make_account, make_device, make_user


@pytest.fixture
def operator(account: Account, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator", "operator@example.org", "x"))
    return client


def get(client: Client, name: str, *args: object, **query: str) -> str:
    answer = client.get(reverse(f"admin:{name}", args=args), query)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def change(client: Client, device: Device, **values: str) -> str:
    """Send the form of a device's page, with its inlines as they are."""
    page = get(client, "devices_device_change", device.pk)
    form = {name: value for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)}
    form.pop("csrfmiddlewaretoken", None)
    form |= {"name": device.name, "profile": device.profile, **values}
    answer = client.post(reverse("admin:devices_device_change", args=[device.pk]), form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_shows_whose_devices_they_are_and_a_longer_one_asks_no_more(operator: Client, account: Account) -> None:
    asked = []
    for number in range(3):
        make_device(account, f"Pump {number}")
        with CaptureQueriesContext(connection) as queries:
            page = get(operator, "devices_device_changelist")
        asked.append(len(queries))
    assert page.count("alice") >= 3
    assert asked[1] == asked[2] <= asked[0]


def test_a_device_is_found_by_its_id_its_name_and_its_owner(operator: Client, account: Account) -> None:
    device, other = make_device(account, "Pump"), make_device(make_account("bob"), "Fan")
    for search in (device.hex, str(device.id), "pum", "alice"):
        page = get(operator, "devices_device_changelist", q=search)
        assert device.hex in page
        assert other.hex not in page


def test_no_page_shows_a_key(operator: Client, account: Account) -> None:
    device = make_device(account)
    certificate = Certificate.objects.get()
    pages = [
        get(operator, "devices_device_change", device.pk),
        get(operator, "devices_certificate_changelist"),
        get(operator, "devices_certificate_change", certificate.pk),
    ]
    assert all(certificate.serial in page for page in pages)
    assert certificate.fingerprint in pages[0]
    for page in pages:
        assert "PRIVATE" not in page
        assert "sealed" not in page
        assert "memory at" not in page


def test_a_certificate_cannot_be_added_changed_or_deleted(operator: Client, account: Account) -> None:
    make_device(account)
    certificate = Certificate.objects.get()
    assert operator.get(reverse("admin:devices_certificate_add")).status_code == 403
    assert (
        operator.post(reverse("admin:devices_certificate_change", args=[certificate.pk]), {"status": "revoked"}).status_code
        == 403
    )
    assert operator.post(reverse("admin:devices_certificate_delete", args=[certificate.pk]), {"post": "yes"}).status_code == 403
    assert Certificate.objects.get().status == Certificate.Status.ACTIVE


def test_a_device_is_renamed_as_its_owner_would(operator: Client, account: Account) -> None:
    device = make_device(account, "Pump")
    change(operator, device, name="  Fan ", profile="modern")
    device.refresh_from_db()
    assert (device.name, device.profile) == ("Fan", "modern")


@pytest.mark.parametrize("name", ["Taken", "a\u202eb", ""])
def test_a_name_the_owner_could_not_take_is_refused(operator: Client, account: Account, name: str) -> None:
    make_device(account, "taken")
    device = make_device(account, "Pump")
    assert "errorlist" in change(operator, device, name=name)
    device.refresh_from_db()
    assert device.name == "Pump"


def test_a_device_is_deleted_with_all_that_follows(operator: Client, account: Account) -> None:
    device = make_device(account, "Pump")
    url = reverse("admin:devices_device_delete", args=[device.pk])
    assert "connection cut" in operator.get(url).content.decode()
    operator.post(url, {"post": "yes"})
    device.refresh_from_db()
    assert device.deleted_at is not None
    assert Certificate.objects.get().status == Certificate.Status.REVOKED


def test_several_are_deleted_with_one_action(operator: Client, account: Account) -> None:
    devices = [make_device(account, name) for name in ("Pump", "Fan", "Light")]
    delete_device(device=devices[2])
    form = {"action": "delete_selected", "_selected_action": [str(device.pk) for device in devices], "post": "yes"}
    operator.post(reverse("admin:devices_device_changelist"), form)
    assert not Device.objects.live().exists()
    assert Device.objects.count() == 3


def test_a_deleted_device_can_only_be_looked_at(operator: Client, account: Account) -> None:
    device = make_device(account)
    delete_device(device=device)
    assert 'name="_save"' not in get(operator, "devices_device_change", device.pk)
    assert operator.post(reverse("admin:devices_device_delete", args=[device.pk]), {"post": "yes"}).status_code == 403


def revoke(client: Client, certificate: Certificate, **words: str) -> str:
    data = {"action": "revoke", "_selected_action": str(certificate.pk), "confirmed": "yes", **words}
    return client.post(reverse("admin:devices_certificate_changelist"), data, follow=True).content.decode()


def test_a_certificate_is_revoked_with_a_reason_that_stands_in_the_log(client: Client, account: Account) -> None:
    device, other = make_device(account, "Pump"), make_device(account, "Fan")
    olga = make_user("olga")
    olga.groups.add(Group.objects.get(name="Operators"))
    User.objects.filter(pk=olga.pk).update(is_staff=True)
    client.force_login(olga)
    certificate = device.certificates.get()
    for words in ({"why": "", "reason": "key_compromise"}, {"why": "Stolen", "reason": "no such"}, {"why": "Stolen"}):
        assert "submit-row" in revoke(client, certificate, **words)
    assert certificate.status == Certificate.Status.ACTIVE
    revoke(client, certificate, why="Board stolen from the shed", reason="key_compromise")
    certificate.refresh_from_db()
    assert (certificate.status, certificate.revocation_reason) == (Certificate.Status.REVOKED, "key_compromise")
    assert other.certificates.get().status == Certificate.Status.ACTIVE
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_change_message()) == (olga, "Revoke: Board stolen from the shed; reason key_compromise")
    assert device.events.filter(kind="certificate_revoked").exists()


def test_the_pages_of_a_user_and_an_account_show_the_devices(operator: Client, account: Account) -> None:
    device, other = make_device(account, "Pump"), make_device(make_account("bob"), "Fan")
    for page in (
        get(operator, "accounts_user_change", account.members.get().pk),
        get(operator, "accounts_account_change", account.pk),
    ):
        assert device.hex in page
        assert other.hex not in page
    listed = get(operator, "devices_device_changelist", account__id__exact=str(account.pk))
    assert device.hex in listed
    assert other.hex not in listed


def test_the_admin_is_for_operators(client: Client, account: Account) -> None:
    client.force_login(account.members.get())
    assert client.get(reverse("admin:devices_device_changelist")).status_code in (302, 403)
