"""Whose devices they are: chosen when one is registered, shown and chosen from in the lists, for those alone who may."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import Account, Role, User
from accounts.services import create_organisation, create_token, personal_account
from devices.models import Device
from devices.profile_documents import blank
from devices.services import make_profile
from devices.tests.factories import make_account, make_device, make_member

LIST, REGISTER, API = reverse("devices:list"), reverse("devices:register"), "/api/v1/devices"


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def works(alice: User) -> Account:
    """Return an organisation of alice's."""
    return create_organisation(user=alice, name="Waterworks")


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def api_of(user: User) -> APIClient:
    """Return a program of the user's with a token that may manage."""
    client = APIClient()
    secret = create_token(user=user, name=f"t{user.api_tokens.count()}", scopes=["manage"])[1]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def page(client: Client, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status
    return response.content.decode()


def register(client: Client, status: int = 302, **values: str) -> str:
    response = client.post(REGISTER, {"name": "Pump", "profile": "standard", "key_algorithm": "ec", **values})
    assert response.status_code == status
    return response.content.decode()


# --- registering -------------------------------------------------------------------------------------------------------------


def test_who_has_one_account_is_not_asked_for_the_owner(browser: Client, account: Account) -> None:
    assert 'name="account"' not in page(browser, REGISTER)
    register(browser)
    assert Device.objects.get().account == account


def test_a_device_is_ones_own_unless_one_says_otherwise(browser: Client, account: Account, works: Account) -> None:
    html = page(browser, REGISTER)
    assert html.index(">You</option>") < html.index(">Waterworks</option>")
    assert "selected" not in html
    register(browser)
    register(browser, account=works.pk.hex)  # the same name: it is another owner's
    assert [device.account for device in Device.objects.order_by("created_at")] == [account, works]


def test_the_organisations_page_leads_to_a_form_that_has_it_chosen(browser: Client, works: Account) -> None:
    assert f'value="{works.pk.hex}" selected' in page(browser, f"{REGISTER}?account={works.pk.hex}")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_manage_an_account_registers_nothing_in_it(works: Account, role: Role) -> None:
    bob = make_member(works, "bob", role)
    client = signed_in(bob)
    assert "Waterworks" not in page(client, REGISTER)
    page(client, f"{REGISTER}?account={works.pk.hex}", 403)
    assert "Choose an account" in register(client, 400, account=works.pk.hex)
    answer = api_of(bob).post(API, {"name": "Pump", "account": works.pk.hex})
    assert answer.status_code == 403
    assert not Device.objects.exists()


@pytest.mark.parametrize("wrong", ["", "x", "0" * 31, "\0", "9" * 5000])
def test_an_address_with_no_account_of_ones_own_is_404(browser: Client, wrong: str) -> None:
    page(browser, f"{REGISTER}?account={wrong}", 404)


def test_anothers_account_looks_like_none(browser: Client, alice: User) -> None:
    others, nobodys = make_account("mallory").pk, uuid4()
    for key in (others, nobodys):
        page(browser, f"{REGISTER}?account={key.hex}", 404)
        page(browser, f"{LIST}?account={key.hex}", 404)
        assert api_of(alice).post(API, {"name": "Pump", "account": key.hex}).status_code == 404
        assert api_of(alice).get(API, {"account": key.hex}).status_code == 404
    assert register(browser, 400, account=others.hex).count("Choose an account") == 1
    assert not Device.objects.exists()


def test_an_accounts_own_kind_is_for_its_devices_alone(browser: Client, works: Account) -> None:
    make_profile(account=works, name="Valve", document=blank("Valve", ""))
    assert "Of Waterworks alone." in page(browser, REGISTER)
    assert "alice has no such kind" in register(browser, 400, profile="valve")
    register(browser, profile="valve", account=works.pk.hex)
    assert Device.objects.get().own_profile is not None


def test_a_user_whom_a_command_made_has_an_account_of_their_own_all_the_same(db: None, pki: Path) -> None:
    client = signed_in(User.objects.create_user("carol", "carol@example.org", "x"))
    register(client)
    assert Device.objects.get().account.kind == Account.Kind.PERSONAL


def test_the_api_registers_for_the_account_that_is_named(alice: User, works: Account) -> None:
    api = api_of(alice)
    own, shared = (api.post(API, {"name": "Pump", **more}).json() for more in ({}, {"account": works.pk.hex}))
    assert (own["account"], shared["account"]) == (personal_account(alice).pk.hex, works.pk.hex)
    assert Device.objects.get(pk=UUID(shared["id"])).account == works


@pytest.mark.parametrize("wrong", [None, "x", "", [], "\0"])
def test_what_is_no_account_is_400(alice: User, wrong: object) -> None:
    answer = api_of(alice).post(API, {"name": "Pump", "account": wrong}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["account"])


# --- the lists ---------------------------------------------------------------------------------------------------------------


def test_the_list_says_whose_the_devices_are_once_there_are_several_owners(
    browser: Client, account: Account, works: Account
) -> None:
    make_device(account, "Lamp")
    make_device(works, "Pump")
    html = page(browser, LIST)
    assert '<th scope="col">Owner</th>' in html
    assert 'id="owners"' in html
    assert f"?account={works.pk.hex}" in html


def test_the_list_of_one_account_has_its_devices_alone(browser: Client, account: Account, works: Account) -> None:
    make_device(account, "Lamp")
    make_device(works, "Pump", profile="ft900")
    html = page(browser, f"{LIST}?account={works.pk.hex}")
    assert ">Pump<" in html
    assert ">Lamp<" not in html
    assert "0 of 1 online" in html
    assert '<th scope="col">Owner</th>' not in html
    assert f"{REGISTER}?account={works.pk.hex}" in html
    assert f'name="account" value="{works.pk.hex}"' in html
    assert "Lamp" not in page(browser, f"{LIST}?account={works.pk.hex}&q=a&show=offline")


def test_an_account_without_devices_says_so_and_lets_one_go_on(browser: Client, account: Account, works: Account) -> None:
    make_device(account, "Lamp")
    html = page(browser, f"{LIST}?account={works.pk.hex}")
    assert "Waterworks has no devices yet" in html
    assert 'id="owners"' in html
    assert f'href="{REGISTER}?account={works.pk.hex}"' in html


def test_who_has_one_account_sees_nothing_of_owners(browser: Client, account: Account) -> None:
    make_device(account, "Lamp")
    html = page(browser, LIST)
    assert 'id="owners"' not in html
    assert "Owner" not in html


@pytest.mark.parametrize("wrong", ["x", "0" * 31, "%00", "9" * 5000])
def test_an_account_that_cannot_be_is_404_in_the_list(browser: Client, wrong: str) -> None:
    page(browser, f"{LIST}?account={wrong}", 404)


def test_the_api_lists_the_devices_of_one_account(alice: User, account: Account, works: Account) -> None:
    api = api_of(alice)
    make_device(account, "Lamp")
    pump = make_device(works, "Pump")
    body = api.get(API, {"account": works.pk.hex}).json()
    assert [(device["id"], device["account"]) for device in body["results"]] == [(pump.hex, works.pk.hex)]
    assert len(api.get(API).json()["results"]) == 2
    assert api.get(API, {"account": "x"}).status_code == 400


# --- what one may not do is not offered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "offered"), [(Role.VIEWER, False), (Role.OPERATOR, False), (Role.ADMIN, True)])
def test_only_who_may_is_offered_to_register_rename_and_delete(works: Account, role: Role, offered: bool) -> None:
    device = make_device(works, "Pump")
    client = signed_in(make_member(works, "bob", role))
    listed = page(client, f"{LIST}?account={works.pk.hex}")
    assert (reverse("devices:delete", args=[device.hex]) in listed) is offered
    assert (f'href="{REGISTER}' in listed) is offered
    view = page(client, reverse("devices:detail", args=[device.hex]))
    for name in ("delete", "rename", "change_profile", "renew"):
        assert (reverse(f"devices:{name}", args=[device.hex]) in view) is offered
    assert REGISTER in page(client, LIST)  # in the account of their own


def test_a_viewer_of_an_empty_organisation_is_told_who_registers(works: Account) -> None:
    html = page(signed_in(make_member(works, "bob", Role.VIEWER)), f"{LIST}?account={works.pk.hex}")
    assert "An admin or owner of Waterworks registers devices." in html
    assert f'href="{REGISTER}' not in html
