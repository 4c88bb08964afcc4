"""Kinds of devices that an account describes itself: made, saved in versions, given to devices, deleted when nobody has them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from devices import profile_store, services
from devices.models import Device, OwnProfile, ProfileVersion
from devices.profile_documents import free_slug, from_stored, in_order, to_stored, with_api, without_api
from devices.profiles import UnknownProfile, get_profile, resolved
from devices.selectors import profile_choices, profile_of
from devices.services import profiles as own_profiles
from devices.tests.factories import at_once, make_account, make_device

SOIL: dict[str, Any] = {
    "title": "Read the soil",
    "kind": "get",
    "tile": "form",
    "answer": [{"name": "value", "type": "number", "unit": "%"}],
}


def make(account: Account, name: str = "Garden", **more: Any) -> OwnProfile:
    document = {**resolved("standard"), **more}
    return services.make_profile(account=account, name=name, document=document, by=account.members.first())


def save(profile: OwnProfile, **api: Any) -> OwnProfile:
    document = with_api(services.document_of(profile), "get_soil", {**SOIL, **api})
    return services.save_profile(profile=profile, document=document)


# --- making --------------------------------------------------------------------------------------------------------------------


def test_it_begins_with_a_copy_and_is_of_its_account_alone(account: Account) -> None:
    made = make(account, description="My own")
    assert (made.slug, made.name, made.version) == ("garden", "Garden", 1)
    document = services.document_of(made)
    assert document == {**resolved("standard"), "slug": "garden", "name": "Garden", "description": "My own"}
    assert list(document["apis"]) == list(resolved("standard")["apis"])
    other = make_account("mallory")
    assert ("garden", "Garden") in profile_choices(account)
    assert ("garden", "Garden") not in profile_choices(other)
    with pytest.raises(UnknownProfile):
        own_profiles.kind_of(other, "garden")


@pytest.mark.parametrize("slug", ["standard", "ft900", "ft900-no-rtc", "modern"])
def test_a_shipped_slug_cannot_be_had(account: Account, slug: str) -> None:
    with pytest.raises(services.SlugTaken):
        services.make_profile(account=account, name="Mine", slug=slug, document=resolved("standard"))
    made = make(account, name=get_profile(slug).name)
    assert made.slug == f"{slug}-2" or made.slug not in {"standard", "ft900", "modern"}


def test_two_of_a_name_get_slugs_of_their_own(account: Account) -> None:
    assert [make(account).slug for _ in range(3)] == ["garden", "garden-2", "garden-3"]
    with pytest.raises(services.SlugTaken):
        services.make_profile(account=account, name="Garden", slug="garden", document=resolved("standard"))
    assert make(make_account("bob")).slug == "garden"


@pytest.mark.parametrize(
    ("name", "slug"), [("Grün & Groß", "grun-gro"), ("7 of 9", "profile-7-of-9"), ("温室", "profile"), ("x" * 60, "x" * 36)]
)
def test_a_slug_is_plain_whatever_the_name_is(name: str, slug: str) -> None:
    assert free_slug(name, []) == slug


@pytest.mark.parametrize("slug", ["", "A", "a/b", "-a", "a_b", "é", "x" * 41])
def test_a_slug_that_is_not_plain_is_refused(account: Account, slug: str) -> None:
    with pytest.raises(services.InvalidProfile):
        services.make_profile(account=account, name="Mine", slug=slug or "+", document=resolved("standard"))


def test_what_is_no_profile_is_not_kept(account: Account) -> None:
    with pytest.raises(services.InvalidProfile) as refused:
        make(account, apis={"a/b": SOIL})
    assert list(refused.value.problems) == ["apis.a/b"]
    assert not OwnProfile.objects.exists()


def test_an_account_has_so_many_and_no_more(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_profiles, "PROFILES_PER_ACCOUNT", 2)
    make(account)
    make(account)
    with pytest.raises(services.TooManyProfiles):
        make(account)


@pytest.mark.django_db(transaction=True)
def test_two_that_are_made_at_once_do_not_pass_the_limit_or_share_a_slug(pki: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_profiles, "PROFILES_PER_ACCOUNT", 3)
    owner = make_account("alice")
    ended = at_once(*[lambda: make(owner).slug for _ in range(5)])
    assert sorted(slug for slug in ended if isinstance(slug, str)) == ["garden", "garden-2", "garden-3"]
    assert sum(isinstance(one, services.TooManyProfiles) for one in ended) == 2


# --- versions ------------------------------------------------------------------------------------------------------------------


def test_each_save_is_a_version_that_stays_as_it_was(account: Account) -> None:
    made = make(account)
    saved = save(made)
    again = save(saved, title="Soil")
    assert [one.number for one in again.versions.all()] == [3, 2, 1]
    assert "get_soil" not in services.document_of(again, 1)["apis"]
    assert services.document_of(again, 2)["apis"]["get_soil"]["title"] == "Read the soil"
    assert services.document_of(again)["apis"]["get_soil"]["title"] == "Soil"
    restored = services.save_profile(profile=again, document=services.document_of(again, 1))
    assert (restored.version, "get_soil" in services.document_of(restored)["apis"]) == (4, False)


def test_saving_the_same_is_no_new_version(account: Account) -> None:
    made = make(account)
    assert services.save_profile(profile=made, document=services.document_of(made)).version == 1


def test_only_so_many_versions_are_kept(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_profiles, "VERSIONS_KEPT", 3)
    profile = make(account)
    for number in range(5):
        profile = save(profile, title=f"Soil {number}")
    assert [one.number for one in profile.versions.all()] == [6, 5, 4]
    with pytest.raises(services.ProfileGone):
        services.document_of(profile, 2)


def test_who_saves_over_another_is_told(account: Account) -> None:
    made = make(account)
    save(made)
    with pytest.raises(services.ProfileChanged, match="Version 2 was saved"):
        services.save_profile(profile=made, document=services.document_of(made), based_on=1)
    assert OwnProfile.objects.get().version == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_who_save_at_once_the_second_is_told(pki: object) -> None:
    made = make(make_account("alice"))
    document = services.document_of(made)

    def write(title: str) -> int:
        return services.save_profile(
            profile=made, document=with_api(document, "get_soil", {**SOIL, "title": title}), based_on=1
        ).version

    ended = at_once(lambda: write("One"), lambda: write("Other"))
    assert [one for one in ended if isinstance(one, int)] == [2]
    assert [type(one) for one in ended if not isinstance(one, int)] == [services.ProfileChanged]


def test_the_slug_never_changes_and_the_name_may(account: Account) -> None:
    made = make(account)
    with pytest.raises(services.InvalidProfile):
        services.save_profile(profile=made, document={**services.document_of(made), "slug": "other"})
    assert services.save_profile(profile=made, document={**services.document_of(made), "name": "Orchard"}).name == "Orchard"


def test_what_was_deleted_cannot_be_saved(account: Account) -> None:
    made = make(account)
    document = services.document_of(made)
    services.delete_profile(profile=made)
    with pytest.raises(services.ProfileGone):
        services.save_profile(profile=made, document={**document, "name": "X"})


# --- devices -------------------------------------------------------------------------------------------------------------------


def test_a_device_is_treated_by_the_version_that_is_in_force(account: Account) -> None:
    profile = make(account)
    pump = make_device(account, "Pump", profile="garden")
    assert (pump.profile, pump.own_profile_id) == ("garden", profile.pk)
    assert not profile_of(pump).api("get_soil").declared
    save(profile)
    pump = Device.objects.get()
    assert profile_of(pump).api("get_soil").title == "Read the soil"
    services.change_profile(device=pump, profile="modern")
    assert profile_of(Device.objects.get()) is get_profile("modern")


def test_another_accounts_profile_is_unknown(account: Account) -> None:
    make(make_account("mallory"), name="Secret")
    with pytest.raises(UnknownProfile):
        make_device(account, "Pump", profile="secret")
    pump = make_device(account, "Pump")
    with pytest.raises(UnknownProfile):
        services.change_profile(device=pump, profile="secret")
    for word in ("a/b", "0" * 32, f"{OwnProfile.objects.get().pk.hex}/1", "x" * 200, "\0"):
        with pytest.raises(UnknownProfile):
            services.change_profile(device=pump, profile=word)


def test_an_own_profile_keeps_its_devices_when_the_portal_ships_one_of_that_slug(account: Account) -> None:
    profile = make(account)
    OwnProfile.objects.filter(pk=profile.pk).update(slug="modern")
    assert own_profiles.kind_of(account, "modern").own_id == profile.pk
    assert [slug for slug, _ in profile_choices(account)].count("modern") == 1


def test_it_is_deleted_when_no_device_has_it(account: Account) -> None:
    profile = make(account)
    pump, lamp = (make_device(account, name, profile="garden") for name in ("Pump", "Lamp"))
    with pytest.raises(services.ProfileInUse, match="2 devices have this profile"):
        services.delete_profile(profile=profile)
    services.delete_device(device=pump)
    services.change_profile(device=lamp, profile="standard")
    services.delete_profile(profile=profile)
    services.delete_profile(profile=profile)
    assert not ProfileVersion.objects.exists()
    pump.refresh_from_db()
    assert (pump.profile, pump.own_profile_id) == ("garden", None)
    assert profile_of(pump) is get_profile("standard")


@pytest.mark.django_db(transaction=True)
def test_a_profile_that_is_deleted_while_a_device_gets_it_is_either_gone_or_used(pki: object) -> None:
    owner = make_account("alice")
    for number in range(5):
        profile, pump = make(owner, name=f"Kind {number}"), make_device(owner, f"Pump {number}")
        given, deleted = at_once(
            lambda pump=pump, profile=profile: services.change_profile(device=pump, profile=profile.slug),  # type: ignore[misc]  # a default binds
            lambda profile=profile: services.delete_profile(profile=profile),  # type: ignore[misc]  # likewise
        )
        assert isinstance(given, UnknownProfile) or isinstance(deleted, services.ProfileInUse)
        pump.refresh_from_db()
        assert OwnProfile.objects.filter(pk=profile.pk).exists() == (pump.own_profile_id == profile.pk)


def test_the_database_has_the_last_word(account: Account) -> None:
    profile = make(account)
    wrong: list[Any] = [
        lambda: OwnProfile.objects.filter(pk=profile.pk).update(slug="A b"),
        lambda: OwnProfile.objects.filter(pk=profile.pk).update(version=0),
        lambda: ProfileVersion.objects.create(profile=profile, number=1, document=to_stored(services.document_of(profile))),
        lambda: ProfileVersion.objects.create(profile=profile, number=2, document={}),
        lambda: ProfileVersion.objects.create(profile=profile, number=2, document=[]),
    ]
    for change in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


# --- the store -----------------------------------------------------------------------------------------------------------------


def test_a_version_is_read_from_the_database_once(account: Account) -> None:
    key = profile_store.own_key(make(account).pk, 1)
    first = profile_store.find(key)
    with CaptureQueriesContext(connection) as queries:
        assert profile_store.find(key) is first
        assert profile_store.known(key) is first
    assert not queries.captured_queries


@pytest.mark.parametrize("key", ["nosuch", "0123456789abcdef0123456789abcdef/1"])
def test_an_unknown_key_is_an_unknown_profile(db: None, key: str) -> None:
    with pytest.raises(UnknownProfile):
        profile_store.find(key)


def test_it_remembers_so_many_and_forgets_the_oldest(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_store, "KEPT", 2)
    stored = to_stored({**resolved("standard"), "slug": "x"})
    keys = [profile_store.own_key(uuid4(), 1) for _ in range(3)]
    for key in keys:
        profile_store.learn(key, stored)
    assert [profile_store.known(key) is not None for key in keys] == [False, True, True]


def test_one_that_cannot_be_read_any_more_makes_its_devices_standard_ones(caplog: pytest.LogCaptureFixture) -> None:
    stored = {"slug": "old", "name": "Old", "apis": [], "colour": 1, "lane": "street"}
    assert profile_store.learn(profile_store.own_key(uuid4(), 1), stored) is get_profile("standard")
    assert "cannot be read any more" in caplog.text


# --- documents -----------------------------------------------------------------------------------------------------------------


def test_a_document_is_stored_and_read_with_its_apis_in_their_order(account: Account) -> None:
    document = {"slug": "x", "name": "X", "apis": {"set_b": SOIL, "get_a": SOIL, "zz": SOIL}}
    assert list(from_stored(to_stored(document))["apis"]) == ["set_b", "get_a", "zz"]
    made = make(account, apis={"set_bb": {**SOIL, "kind": "set"}, "get_a": SOIL, "zz": SOIL})
    assert list(services.document_of(made)["apis"]) == ["set_bb", "get_a", "zz"]


def test_keys_come_in_the_order_in_which_they_are_explained() -> None:
    mixed = {"apis": {"a": {"kind": "get", "title": "A", "answer": [{"type": "integer", "name": "v"}]}}, "name": "X", "slug": "x"}
    ordered = in_order(mixed)
    assert list(ordered) == ["slug", "name", "apis"]
    assert list(ordered["apis"]["a"]) == ["title", "kind", "answer"]
    assert list(ordered["apis"]["a"]["answer"][0]) == ["name", "type"]


def test_an_api_is_put_in_the_place_of_the_one_it_was() -> None:
    document = {"slug": "x", "name": "X", "apis": {"a": SOIL, "b": SOIL, "c": SOIL}}
    assert list(with_api(document, "bb", SOIL, before="b")["apis"]) == ["a", "bb", "c"]
    assert list(with_api(document, "d", SOIL)["apis"]) == ["a", "b", "c", "d"]
    assert list(without_api(document, "b")["apis"]) == ["a", "c"]
    assert list(document["apis"]) == ["a", "b", "c"]
