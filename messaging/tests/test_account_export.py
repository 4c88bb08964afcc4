"""The zip of everything that is one's own."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Generator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from accounts import exports as exporting
from accounts.hooks import account_exported
from accounts.models import Account, ApiToken, Membership, Role, User
from accounts.services import create_organisation, create_token
from accounts.views import leaving
from devices.models import Certificate, Device
from devices.profile_documents import blank
from devices.services import claim_device, make_claim_codes, make_profile
from devices.tests.factories import make_account, make_device, make_user
from messaging import exports
from messaging.tests.history import asked, exchange, said

EXPORT = "/account/export/"


@pytest.fixture
def account(clean_valkey: None, db: None, pki: Path) -> Account:
    return make_account("alice")


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


def just_signed_in(user: User) -> Client:
    """Return a browser as after typing the password."""
    client = Client()
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": timezone.now().timestamp()}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


def download(user: User) -> bytes:
    response = just_signed_in(user).get(EXPORT)
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith('attachment; filename="iot-portal-')
    body = cast("AsyncIterator[bytes]", cast(StreamingHttpResponse, response).streaming_content)

    async def read() -> bytes:
        return b"".join([piece async for piece in body])

    return async_to_sync(read)()


def table(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode(), newline="")))


def test_it_has_everything_of_ones_own_and_nothing_of_others(
    alice: User, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PIECE", 3)
    monkeypatch.setattr(exporting, "PIECE", 3)
    pump = make_device(account, "Pump")
    make_profile(account=account, name="My pump", document=blank("My pump", ""))
    _, token = create_token(user=alice, name="ci")
    for _ in range(4):
        exchange(pump, answer='{"value": 1}')
    asked(pump, "get_gpio", "{}", "{}")
    stranger = make_account("mallory")
    works = create_organisation(user=make_user("bob"), name="Waterworks")
    Membership.objects.create(account=works, user=alice, role=Role.ADMIN)
    for other in (stranger, works):
        exchange(make_device(other, "Secret pump"), answer='{"value": 7}')
    data = download(alice)
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    assert json.loads(archive.read("profile.json"))["email"] == "alice@example.org"
    assert json.loads(archive.read("profile.json"))["id"] == alice.uuid.hex
    assert json.loads(archive.read("profiles/my-pump.json"))["name"] == "My pump"
    assert [row["name"] for row in table(archive, "devices.csv")] == ["Pump"]
    assert len(table(archive, "history.csv")) == 8
    assert len({tuple(row.values()) for row in table(archive, "history.csv")}) == 8, "no row twice where pieces meet"
    assert [row["outcome"] for row in table(archive, "commands.csv")][0] == "answered"
    assert [row["name"] for row in table(archive, "api_tokens.csv")] == ["ci"]
    assert {row["name"] for row in table(archive, "accounts.csv")} == {"alice", "Waterworks"}
    assert "BEGIN CERTIFICATE" in table(archive, "certificates.csv")[0]["pem"]
    everything = "".join(archive.read(name).decode() for name in archive.namelist())
    hidden = ApiToken.objects.get().token_hash
    for secret in (token, hidden, alice.password, "PRIVATE KEY", "Secret pump", "mallory", '"value": 7'):
        assert secret not in everything, secret
    assert Certificate.objects.filter(sealed_key__isnull=False).exists(), "there was a key that could have come along"


def test_a_spreadsheet_takes_nothing_in_it_for_a_formula(alice: User, account: Account) -> None:
    pump = make_device(account, "Pump")
    Device.objects.filter(pk=pump.pk).update(name="=HYPERLINK(1)")
    said(pump, "from", "note", "+1+1")
    said(pump, "from", "note", "@SUM(A1)")
    archive = zipfile.ZipFile(io.BytesIO(download(alice)))
    assert table(archive, "devices.csv")[0]["name"] == "'=HYPERLINK(1)"
    assert {row["payload"] for row in table(archive, "history.csv")} == {"'+1+1", "'@SUM(A1)"}


def test_it_is_made_piece_by_piece(alice: User, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PIECE", 20)
    monkeypatch.setattr(exporting, "PIECE", 20)
    pump = make_device(account, "Pump")
    for number in range(60):
        said(pump, "from", "note", f"{number:x}" * 9_000)
    what = exporting.Export(alice, account)
    account_exported(what)
    held = [len(piece) for piece in exporting.zipped(what)]
    assert len(held) > len(what.files)
    assert max(held) < sum(held)


def test_five_an_hour_are_made_and_then_it_says_when_to_come_again(alice: User) -> None:
    client = just_signed_in(alice)
    answers = [client.get(EXPORT) for _ in range(6)]
    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert 3500 < int(answers[-1]["Retry-After"]) <= 3600
    assert "Try again in" in answers[-1].content.decode()


async def test_nothing_more_is_made_for_who_left() -> None:
    def pieces() -> Generator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.append(True)

    ended: list[bool] = []
    sent = leaving._sent(pieces())
    assert await anext(sent) == b"one"
    await sent.aclose()
    assert ended == [True]


def test_it_asks_first_who_it_is(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert client.get(EXPORT).status_code == 302


def test_what_a_claimed_device_did_for_another_before_stays_out(alice: User) -> None:
    device = make_device(make_account("bob"), "Pump")
    code = make_claim_codes(account=device.account, devices=[device], by=device.account.members.get())[0].text
    claim_device(user=alice, code=code)
    archive = zipfile.ZipFile(io.BytesIO(download(alice)))
    assert [row["kind"] for row in table(archive, "timeline.csv")] == ["claimed"]
