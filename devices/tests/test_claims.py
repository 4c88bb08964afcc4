"""Claiming: a code works once, for one, and not for ever; and what the device was before is not the new owner's business."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache as django_cache
from django.db import connection
from django.http import Http404
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account, User
from accounts.services import personal_account
from devices import services
from devices.access import Action, access_device
from devices.models import ClaimCode, Device, DeviceJob, DeviceSecret, EventKind
from devices.profile_documents import blank
from devices.services import claim_device, make_claim_codes, make_profile, register_device
from devices.services.claims import GROUPS, LETTERS
from devices.services.errors import ClaimRefused
from devices.tests.factories import at_once, make_account, make_device, make_member, make_user
from messaging import cache
from messaging.bridge.directory import Directory
from messaging.models import Presence, Reading
from messaging.timeline import timeline


def owner(account: Account) -> User:
    return account.memberships.get(role="owner").user


def code_of(device: Device) -> str:
    return make_claim_codes(account=device.account, devices=[device], by=owner(device.account))[0].text


@pytest.fixture
def bob(account: Account) -> User:
    return make_user("bob")


def test_a_code_moves_the_device_to_the_personal_account_and_works_once(account: Account, bob: User) -> None:
    device = make_device(account)
    code = code_of(device)
    assert code.replace("-", "") not in str(ClaimCode.objects.values_list())
    assert len(code) == GROUPS * (LETTERS + 1) - 1
    assert claim_device(user=bob, code=f" {code.lower().replace('-', ' ')} ") == device
    device.refresh_from_db()
    assert device.account == personal_account(bob)
    assert access_device(bob, device.hex, Action.MANAGE) == device
    with pytest.raises(Http404):
        access_device(owner(account), device.hex)
    for user in (bob, make_user("carol")):
        with pytest.raises(ClaimRefused):
            claim_device(user=user, code=code)


def test_codes_that_do_not_work_are_told_alike(account: Account, bob: User) -> None:
    old, withdrawn, replaced, deleted, own = (make_device(account, name) for name in "ABCDE")
    codes = {device: code_of(device) for device in (old, withdrawn, replaced, deleted, own)}
    ClaimCode.objects.filter(device=old).update(
        created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1)
    )
    services.withdraw_claim_code(device=withdrawn)
    code_of(replaced)
    services.delete_device(device=deleted)
    make_profile(account=account, name="Own", document=blank("Own", ""), slug="own")
    services.change_profile(device=own, profile="own")
    told = set()
    for code in [*codes.values(), "", "WRONG", "x" * 5_000, "\x00"]:
        with pytest.raises(ClaimRefused) as refused:
            claim_device(user=bob, code=code)
        told.add(str(refused.value))
    with pytest.raises(ClaimRefused) as refused:
        claim_device(user=owner(account), code=code_of(replaced))  # it is theirs already
    assert told == {str(refused.value)}


def test_a_device_of_a_kind_of_the_accounts_own_and_a_foreign_one_get_no_code(account: Account, bob: User) -> None:
    make_profile(account=account, name="Own", document=blank("Own", ""), slug="own")
    own = register_device(account=account, name="Odd", profile="own").device
    foreign = make_device(personal_account(bob))
    assert make_claim_codes(account=account, devices=[own, foreign], by=owner(account)) == []


def test_the_timeline_begins_with_the_claim_and_what_was_known_of_the_device_does_not_go_along(
    account: Account, bob: User
) -> None:
    device = make_device(account)
    services.name_pin(device=device, number=3, name="Secret valve")
    Reading.objects.create(device=device, key="gpio/3", value=1, at=timezone.now())
    then = timezone.now()
    Presence.objects.filter(device=device).update(
        disconnected_at=then, address="192.0.2.7", refused_at=then, refused_reason="revoked", running=True, asked_at=then,
        last_answer_at=then, last_answer_api="get_gpio", last_answer_ms=37.4, offline_after_minutes=5, offline_told_at=then,
    )  # fmt: skip
    claim_device(user=bob, code=code_of(device))
    device.refresh_from_db()
    blank_one = Presence.objects.get(device=make_device(account, "Blank"))
    columns = [field.attname for field in Presence._meta.fields if not field.primary_key]
    assert [getattr(device.presence, name) for name in columns] == [getattr(blank_one, name) for name in columns]
    assert [line.kind for line in timeline(device).rows] == [EventKind.CLAIMED]
    assert not device.pins.exists()
    assert not device.readings.exists()


def test_what_the_device_says_is_the_new_accounts_a_second_later(account: Account, bob: User) -> None:
    device, now = make_device(account), 1000.0
    directory = Directory(clock=lambda: now)

    def known() -> UUID | None:
        with connection.cursor() as db:
            found = directory.devices(db, [device.pk])(device.pk)  # type: ignore[arg-type]  # Django's wrapper of the same
        return found.account_id if found else None

    assert known() == account.pk
    claim_device(user=bob, code=code_of(device))
    now += 1.0
    assert known() == personal_account(bob).pk


def test_a_name_that_the_new_owner_has_already_gets_a_number(account: Account, bob: User) -> None:
    make_device(personal_account(bob), "pump")
    assert claim_device(user=bob, code=code_of(make_device(account, "Pump"))).name == "Pump 2"


@pytest.mark.django_db(transaction=True)
def test_of_two_who_claim_at_once_one_gets_the_device_and_the_former_owners_access_is_forgotten(
    pki: Path, clean_valkey: None
) -> None:
    device = make_device(make_account("alice"))
    old = owner(device.account)
    code, people = code_of(device), [make_user("bob"), make_user("carol")]
    key = cache.access_key(old.pk, device.hex)
    cache.client().set(key, "owner standard device account 1")
    results = at_once(*[lambda user=user: claim_device(user=user, code=code) for user in people])
    assert [type(one) for one in results if isinstance(one, Exception)] == [ClaimRefused]
    assert cache.client().get(key) == cache.BURIED
    assert Device.objects.get().account_id in {personal_account(user).pk for user in people}


def test_tries_are_bounded_by_user_and_by_address_and_right_ones_do_not_count(
    client: Client, account: Account, bob: User, clean_valkey: None
) -> None:
    django_cache.clear()
    client.force_login(bob)
    most, _ = django_settings.CLAIM_TRIES["user"]
    for number in range(most):
        assert client.post("/devices/claim/", {"code": code_of(make_device(account, f"P{number}"))}).status_code == 302
    for _ in range(most):
        assert client.post("/devices/claim/", {"code": "WRONG"}).status_code == 400
    right = code_of(make_device(account, "Last"))
    assert client.post("/devices/claim/", {"code": right}).status_code == 429
    assert client.post("/api/v1/claims", {"code": right}, "application/json")["Retry-After"]
    client.force_login(make_user("carol"))
    answers = [client.post("/devices/claim/", {"code": "WRONG"}).status_code for _ in range(most)]
    client.force_login(make_user("dave"))
    answers += [client.post("/devices/claim/", {"code": "WRONG"}).status_code for _ in range(most + 1)]
    assert answers == [400] * (2 * most) + [429]


def test_the_codes_of_a_job_are_shown_once_as_a_page_and_as_csv(client: Client, account: Account, bob: User) -> None:
    job = DeviceJob.objects.create(account=account, by=owner(account), status="done", ended_at=timezone.now())
    job.lines.create(number=1, name="=Pump", profile="standard", device=make_device(account, "=Pump"))
    client.force_login(owner(account))
    page = client.post(f"/devices/jobs/{job.hex}/claim-codes/").content.decode()
    first = re.search(r"(?:[2-9A-Z]{4}-){3}[2-9A-Z]{4}", page)
    assert first is not None
    table = client.post(f"/devices/jobs/{job.hex}/claim-codes/", {"csv": "1"}).content.decode()
    row = table.splitlines()[1].split(",")
    assert row[0] == "'=Pump"
    assert row[3].endswith(f"/devices/claim/#{row[2]}")
    with pytest.raises(ClaimRefused):
        claim_device(user=bob, code=first[0])
    claim_device(user=bob, code=row[2])
    assert client.post(f"/devices/jobs/{job.hex}/claim-codes/").status_code == 409


def test_a_page_of_codes_that_is_loaded_again_makes_none_and_shows_none(account: Account, settings: Settings) -> None:
    settings.DEVICE_PASSWORDS = True
    device, browser = make_device(account), Client(enforce_csrf_checks=True)
    job = DeviceJob.objects.create(account=account, by=owner(account), status="done", ended_at=timezone.now())
    job.lines.create(number=1, name="Pump", profile="standard", device=device)
    browser.force_login(owner(account))
    asked = f"/devices/{device.hex}/claim-code/", f"/devices/jobs/{job.hex}/claim-codes/", f"/devices/{device.hex}/password/"
    forms = asked[0], f"/devices/jobs/{job.hex}/", asked[2]
    for path, form in zip(asked, forms, strict=True):
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', browser.get(form).content.decode())
        assert token is not None
        assert browser.post(path, {"csrfmiddlewaretoken": token[1]}).status_code == 200
        kept = [*ClaimCode.objects.values_list("code_hash"), *DeviceSecret.objects.values_list("pk", "created_at")]
        again = browser.post(path, {"csrfmiddlewaretoken": token[1]})
        assert again.status_code == 409
        assert not re.search(r"(?:[2-9A-Z]{4}-){3}", again.content.decode())
        assert kept == [*ClaimCode.objects.values_list("code_hash"), *DeviceSecret.objects.values_list("pk", "created_at")]


def test_the_api_makes_withdraws_and_takes_codes(client: Client, account: Account, bob: User) -> None:
    device = make_device(account)
    path = f"/api/v1/devices/{device.hex}/claim-code"
    client.force_login(owner(account))
    withdrawn = client.post(path, {}, "application/json").json()["code"]
    assert client.delete(path).status_code == 204
    code = client.post(path, {}, "application/json").json()["code"]
    client.force_login(bob)
    assert client.post("/api/v1/claims", {"code": withdrawn}, "application/json").status_code == 400
    claimed = client.post("/api/v1/claims", {"code": code}, "application/json")
    assert (claimed.status_code, claimed.json()["account"]) == (201, personal_account(bob).pk.hex)
    client.force_login(make_member(account, "olga", "operator"))
    assert client.post(path, {}, "application/json").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        lambda device: services.renew_certificate(device=device),
        lambda device: services.issue_secret(device=device),
        lambda device: services.revoke_secret(device=device),
        lambda device: services.rename_device(device=device, name="Mine"),
        lambda device: services.change_profile(device=device, profile="ft900"),
        lambda device: services.withdraw_claim_code(device=device),
        lambda device: services.name_pin(device=device, number=1, name="Pump"),
        lambda device: services.forget_key(device=device),
        lambda device: services.revoke_certificate(certificate=device.certificates.get()),
        lambda device: services.rescue_certificate(certificate=device.certificates.get()),
    ],
)
def test_who_was_let_in_before_a_claim_changes_nothing_after_it(
    account: Account, bob: User, settings: Settings, change: Callable[[Device], object]
) -> None:
    settings.DEVICE_PASSWORDS = True
    before = make_device(account)
    claim_device(user=bob, code=code_of(before))
    with pytest.raises(services.DeviceGone):
        change(before)


def test_who_was_let_in_before_a_claim_does_not_delete_the_device_after_it(account: Account, bob: User) -> None:
    before = make_device(account)
    claim_device(user=bob, code=code_of(before))
    assert not services.delete_device(device=before)
    assert Device.objects.live().filter(pk=before.pk).exists()


def test_a_claim_ends_the_password_and_says_to_renew_the_certificate(
    account: Account, bob: User, client: Client, settings: Settings
) -> None:
    settings.DEVICE_PASSWORDS = True
    device = make_device(account, "<b>Pump")
    services.issue_secret(device=device)
    client.force_login(bob)
    page = client.post("/devices/claim/", {"code": code_of(device)}, follow=True).content.decode()
    assert not DeviceSecret.objects.exists()
    assert (
        f'&lt;b&gt;Pump is yours now. Whoever had it before may still hold its key: <a href="/devices/{device.hex}/renew/">'
        in page
    )
