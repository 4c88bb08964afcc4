from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Account, Role, User
from devices.models import Certificate, Device
from devices.tests.factories import make_account, make_device, make_member
from messaging.models import Presence


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def pump(account: Account) -> Device:
    return make_device(account, "Greenhouse pump")


@pytest.fixture
def strangers(db: None, pki: Path) -> Device:
    return make_device(make_account("mallory"), "Foreign")


def page(client: Client, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status
    return response.content.decode()


# --- the list ------------------------------------------------------------------------------------------------------------------


def test_it_tells_a_newcomer_what_to_do_first(browser: Client) -> None:
    html = page(browser, reverse("devices:list"))
    assert "No devices yet" in html
    assert "python3 ~/Downloads/" in html
    assert reverse("devices:register") in html


def test_it_sends_strangers_to_the_door(client: Client) -> None:
    response = client.get(reverse("devices:list"))
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def test_it_lists_only_devices_of_the_users_accounts(browser: Client, pump: Device, strangers: Device) -> None:
    html = page(browser, reverse("devices:list"))
    assert "Greenhouse pump" in html
    assert "Foreign" not in html


def test_it_shows_the_lamp_of_a_device_never_heard_as_waiting(browser: Client, pump: Device) -> None:
    assert "not connected yet" in page(browser, reverse("devices:list"))
    Presence.objects.filter(device=pump).update(connected=True)
    html = page(browser, reverse("devices:list"))
    assert "1 of 1 online" in html
    assert 'class="led on' in html


@pytest.mark.parametrize("by", ["pump", "PUMP", "{hex}", "{start}"])
def test_it_finds_a_device_by_part_of_its_name_or_id(browser: Client, account: Account, pump: Device, by: str) -> None:
    make_device(account, "Lamp")
    html = page(browser, f"{reverse('devices:list')}?q={by.format(hex=pump.hex, start=pump.hex[:9])}")
    assert "Greenhouse pump" in html
    assert ">Lamp<" not in html


def test_it_says_that_nothing_was_found_and_offers_the_way_back(browser: Client, pump: Device) -> None:
    html = page(browser, reverse("devices:list") + "?q=<b>zzz")
    assert "No device found" in html
    assert "&lt;b&gt;zzz" in html
    assert "Show all" in html


def test_it_filters_by_state_and_kind(browser: Client, account: Account, pump: Device) -> None:
    make_device(account, "Buzzer", profile="ft900")
    Presence.objects.filter(device=pump).update(connected=True)
    for show, there, not_there in [
        ("online", pump.name, "Buzzer"),
        ("offline", "Buzzer", pump.name),
        ("ft900", "Buzzer", pump.name),
    ]:
        html = page(browser, f"{reverse('devices:list')}?show={show}")
        assert f">{there}<" in html
        assert f">{not_there}<" not in html


@pytest.mark.parametrize("query", ["page=999", "page=x", "show=nonsense", "q=" + "x" * 101, "q=%00", "show=%00"])
def test_it_survives_nonsense_in_the_address(browser: Client, pump: Device, query: str) -> None:
    page(browser, f"{reverse('devices:list')}?{query}")


# --- registering ---------------------------------------------------------------------------------------------------------------


def test_it_registers_a_device_and_shows_what_to_take_to_it(browser: Client, alice: User) -> None:
    form = {"name": " Soil probe 3 ", "profile": "ft900", "key_algorithm": "ec"}
    response = browser.post(reverse("devices:register"), form, follow=True)
    html = response.content.decode()
    device = Device.objects.for_user(alice).get()
    assert (device.name, device.profile) == ("Soil probe 3", "ft900")
    assert response.redirect_chain == [(reverse("devices:registered", args=[device.hex]), 302)]
    assert "Waiting for it to connect" in html
    assert "python3 ~/Downloads/soil-probe-3.zip" in html
    for part in range(4):
        assert device.hex[8 * part : 8 * part + 8] in html


def test_it_registers_with_an_rsa_key(browser: Client, alice: User) -> None:
    browser.post(reverse("devices:register"), {"name": "Old board", "profile": "standard", "key_algorithm": "rsa"})
    assert Certificate.objects.get(device__name="Old board").key_algorithm == "rsa"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "Give the device a name."),
        ({"name": "x" * 81}, "characters"),
        ({"name": "GREENHOUSE pump"}, "You have a device of that name already."),
        ({"profile": "toaster"}, "toaster"),
        ({"key_algorithm": "md5"}, "md5"),
    ],
)
def test_it_refuses_a_bad_registration_at_the_field_and_keeps_what_was_typed(
    browser: Client, pump: Device, change: dict[str, str], said: str
) -> None:
    form = {"name": "New one", "profile": "modern", "key_algorithm": "rsa"} | change
    response = browser.post(reverse("devices:register"), form)
    html = response.content.decode()
    assert response.status_code == 400
    assert said in html
    assert f'value="{form["name"]}"' in html or not form["name"]
    assert Device.objects.count() == 1


# --- one device ----------------------------------------------------------------------------------------------------------------

ONE_DEVICE = ["detail", "registered", "delete", "forget_key", "renew", "pkcs12"]


@pytest.mark.parametrize("name", ONE_DEVICE)
def test_it_answers_a_foreign_device_exactly_as_an_unknown_one(browser: Client, strangers: Device, name: str) -> None:
    unknown = page(browser, reverse(f"devices:{name}", args=["0" * 32]), 404)
    foreign = page(browser, reverse(f"devices:{name}", args=[strangers.hex]), 404)
    without_token = re.compile(r'name="csrfmiddlewaretoken" value="[^"]+"')
    assert without_token.sub("", unknown) == without_token.sub("", foreign)
    assert browser.post(reverse("devices:delete", args=[strangers.hex])).status_code == 404
    assert Device.objects.live().filter(pk=strangers.pk).exists()


def test_it_shows_id_kind_and_certificate(browser: Client, pump: Device) -> None:
    html = page(browser, reverse("devices:detail", args=[pump.hex]))
    certificate = pump.certificates.get()
    assert certificate.serial in html
    assert f"{certificate.fingerprint[:2]}:<wbr>{certificate.fingerprint[2:4]}".upper() in html.upper()
    assert "days left" in html


def test_it_renames_a_device(browser: Client, pump: Device) -> None:
    response = browser.post(reverse("devices:rename", args=[pump.hex]), {"name": "Pump 2"}, follow=True)
    pump.refresh_from_db()
    assert pump.name == "Pump 2"
    assert "It is called Pump 2 now." in response.content.decode()


def test_it_refuses_a_name_that_is_taken_at_the_field(browser: Client, account: Account, pump: Device) -> None:
    make_device(account, "Lamp")
    response = browser.post(reverse("devices:rename", args=[pump.hex]), {"name": "lamp"})
    html = response.content.decode()
    assert response.status_code == 400
    assert "You have a device of that name already." in html
    assert 'value="lamp"' in html
    assert "<h1" in html
    assert "Greenhouse pump" in html


def test_it_changes_the_kind(browser: Client, pump: Device) -> None:
    browser.post(reverse("devices:change_profile", args=[pump.hex]), {"profile": "ft900"})
    pump.refresh_from_db()
    assert pump.profile == "ft900"
    assert browser.post(reverse("devices:change_profile", args=[pump.hex]), {"profile": "x"}).status_code == 400


def test_it_asks_before_it_deletes_and_then_deletes(browser: Client, pump: Device) -> None:
    url = reverse("devices:delete", args=[pump.hex])
    assert "Delete Greenhouse pump" in page(browser, url)
    assert Device.objects.live().exists()
    response = browser.post(url, follow=True)
    assert "Greenhouse pump is deleted." in response.content.decode()
    assert not Device.objects.live().exists()
    page(browser, reverse("devices:detail", args=[pump.hex]), 404)


def test_it_sends_the_files(browser: Client, pump: Device) -> None:
    def sent(name: str) -> bytes:
        response = browser.get(reverse("devices:file", args=[pump.hex, name]))
        assert response.status_code == 200
        assert response["Content-Disposition"].startswith("attachment")
        assert "no-store" in response["Cache-Control"]
        return response.content

    assert sent("root-ca.pem").startswith(b"-----BEGIN CERTIFICATE")
    assert sent("device.crt").startswith(b"-----BEGIN CERTIFICATE")
    assert b"PRIVATE KEY" in sent("device.key")
    assert pump.hex.encode() in sent("iot_config.h")
    assert "__main__.py" in zipfile.ZipFile(io.BytesIO(sent("device.zip"))).namelist()
    page(browser, reverse("devices:file", args=[pump.hex, "passwd"]), 404)


def test_it_has_no_key_to_send_once_it_was_told_to_forget_it(browser: Client, pump: Device) -> None:
    url = reverse("devices:forget_key", args=[pump.hex])
    assert "Forget the key" in page(browser, url)
    browser.post(url)
    assert "cannot be made" in page(browser, reverse("devices:file", args=[pump.hex, "device.key"]), 409)
    html = page(browser, reverse("devices:detail", args=[pump.hex]))
    assert "no copy of the private key" in html
    assert "device.zip" not in html


def test_it_lets_a_viewer_look_and_nothing_else(client: Client, account: Account, pump: Device) -> None:
    client.force_login(make_member(account, "victor", Role.VIEWER))
    html = page(client, reverse("devices:detail", args=[pump.hex]))
    assert "Delete…" not in html
    page(client, reverse("devices:file", args=[pump.hex, "device.key"]), 403)
    page(client, reverse("devices:file", args=[pump.hex, "root-ca.pem"]))
    for name in ["rename", "change_profile", "delete", "forget_key", "renew", "pkcs12"]:
        assert client.post(reverse(f"devices:{name}", args=[pump.hex]), {"name": "x"}).status_code == 403
    pump.refresh_from_db()
    assert (pump.name, pump.deleted_at) == ("Greenhouse pump", None)


# --- every page ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["devices:list", "devices:register", "help", "terms", "privacy", "menu", "settings", "messaging:history"]
)
def test_it_has_no_inline_script_or_style(browser: Client, pump: Device, name: str) -> None:
    response = browser.get(reverse(name))
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|url\(data:", html)
    assert "'unsafe" not in response["Content-Security-Policy"]


def test_it_shows_a_page_of_the_portal_for_an_address_that_leads_nowhere(browser: Client) -> None:
    assert "There is nothing here" in page(browser, "/devices/nothing/", 404)


def test_it_remembers_the_theme(browser: Client, alice: User) -> None:
    browser.post(reverse("settings"), {"theme": "dark"})
    assert 'data-theme="dark"' in page(browser, reverse("settings"))
    for wrong in ({"theme": "neon"}, {"other": "x"}):
        assert browser.post(reverse("settings"), wrong).status_code == 400
    alice.refresh_from_db()
    assert alice.theme == "dark"
