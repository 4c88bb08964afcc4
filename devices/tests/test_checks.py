import base64
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.checks import CheckMessage
from django.core.management import call_command
from pytest_django import Settings

from devices import pki
from devices.checks import check_identity, check_seal_key_is_random
from iotportal.checks import check_deployment, check_settings
from iotportal.login_providers import LoginProvider


def ids(check: Callable[[], list[CheckMessage]]) -> list[str]:
    return [str(message.id) for message in check()]


def test_the_settings_of_the_tests_are_good(own_pki: Path) -> None:
    assert check_settings() == []
    assert check_identity() == []
    assert check_seal_key_is_random() == []


def test_the_checks_are_part_of_manage_check(own_pki: Path, settings: Settings) -> None:
    settings.PORTAL_URL = "https://elsewhere.example.org"
    with pytest.raises(Exception, match=r"iotportal\.E002"):
        call_command("check")


@pytest.mark.parametrize(
    "url", ["", "portal.example.org", "ftp://localhost", "http://", "http://localhost/portal", "http://me@localhost"]
)
def test_a_portal_url_that_is_no_base_is_an_error(settings: Settings, url: str) -> None:
    settings.PORTAL_URL = url
    assert "iotportal.E001" in ids(check_settings)


@pytest.mark.parametrize(("url", "hosts"), [("http://[::1]:8000", ["[::1]"]), ("https://a.example.org", [".example.org"])])
def test_the_portals_own_host_is_allowed(settings: Settings, url: str, hosts: list[str]) -> None:
    settings.PORTAL_URL, settings.ALLOWED_HOSTS = url, hosts
    assert check_settings() == []
    settings.ALLOWED_HOSTS = ["elsewhere.example.org"]
    assert ids(check_settings) == ["iotportal.E002"]


@pytest.mark.parametrize("host", ["", "mqtts://a", "a:8883", "a b", "[::1]", "a/b"])
def test_a_device_host_is_a_host(settings: Settings, host: str) -> None:
    settings.DEVICE_HOST = host
    assert "iotportal.E003" in ids(check_settings)


@pytest.mark.parametrize("host", ["localhost", "a.example.org", "192.168.1.5", "::1"])
def test_names_and_addresses_are_hosts(settings: Settings, host: str) -> None:
    settings.DEVICE_HOST = settings.MQTT_HOST = host
    assert check_settings() == []


@pytest.mark.parametrize(
    ("folder", "good"), [("/run/iotportal", True), ("/" + "x" * 87, True), ("/" + "x" * 88, False), ("run", False)]
)
def test_sockets_can_be_where_they_shall_be(settings: Settings, folder: str, good: bool) -> None:
    settings.BROKER_SOCKETS = Path(folder)
    assert ids(check_settings) == ([] if good else ["iotportal.E010"])


@pytest.mark.parametrize("origin", ["*", "app.example.com", "https://app.example.com/", "https://APP.example.com", "null"])
def test_another_sites_origin_is_an_origin(settings: Settings, origin: str) -> None:
    settings.CORS_ORIGINS = ["https://app.example.com:8443", origin]
    assert "iotportal.E004" in ids(check_settings)


def test_a_public_portal_has_https_a_name_for_devices_and_named_hosts(settings: Settings) -> None:
    settings.PORTAL_URL, settings.DEVICE_HOST, settings.ALLOWED_HOSTS = "http://localhost", "localhost", ["*"]
    settings.ADMIN_REQUIRES_FACTOR = False
    assert ids(check_deployment) == ["iotportal.W001", "iotportal.W002", "iotportal.W003", "iotportal.W004"]
    settings.ADMIN_REQUIRES_FACTOR = True
    settings.PORTAL_URL, settings.DEVICE_HOST, settings.ALLOWED_HOSTS = (
        "https://a.example.org",
        "a.example.org",
        ["a.example.org"],
    )
    assert check_deployment() == []


def test_a_seal_key_of_the_wrong_size_is_an_error(own_pki: Path, settings: Settings) -> None:
    settings.SEAL_KEY = base64.b64encode(bytes(16)).decode()
    assert ids(check_identity) == ["devices.E001"]
    assert check_seal_key_is_random() == []


def test_a_seal_key_that_somebody_typed_is_a_warning(own_pki: Path, settings: Settings) -> None:
    settings.SEAL_KEY = base64.b64encode(b"swordfishswordfishswordfishsword").decode()
    assert check_identity() == []
    assert ids(check_seal_key_is_random) == ["devices.W005"]


def test_before_the_first_set_up_there_is_nothing_to_say(settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "none"
    assert check_identity() == []


def test_a_key_that_others_can_read_is_a_warning(own_pki: Path) -> None:
    (own_pki / "bridge.key").chmod(0o640)
    assert ids(check_identity) == ["devices.W004"]


def test_an_authority_that_does_not_fit_together_is_an_error(own_pki: Path) -> None:
    shutil.copy(own_pki / "server.key", own_pki / "issuing-ca.key")
    assert ids(check_identity) == ["devices.E004"]


def test_a_damaged_server_certificate_is_an_error(own_pki: Path) -> None:
    (own_pki / "server.pem").write_text("nothing")
    assert ids(check_identity) == ["devices.E005"]


def test_an_authority_that_ends_before_what_it_issues_is_a_warning(own_pki: Path, settings: Settings) -> None:
    settings.CERTIFICATE_DAYS = pki.ISSUING_DAYS + 1
    assert ids(check_identity) == ["devices.W003"]


def test_a_server_certificate_that_ends_soon_or_has_another_name_is_a_warning(
    own_pki: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEVICE_HOST = "broker.example.org"
    assert ids(check_identity) == ["devices.W002"]
    monkeypatch.setattr(pki.setting_up, "SERVICE_DAYS", 20)
    pki.set_up([])
    assert ids(check_identity) == ["devices.W001"]


# --- other sites to sign in with ------------------------------------------------------------------------------------------------


def site(provider_id: str = "oidc", missing: tuple[str, ...] = (), **values: str) -> LoginProvider:
    kind = "oidc" if provider_id.startswith("oidc") else provider_id
    return LoginProvider(provider_id, kind, "Home SSO", False, values, missing)


def test_a_site_that_is_set_up_by_half_is_an_error_that_names_what_is_missing(settings: Settings) -> None:
    settings.LOGIN_PROVIDERS = [site("google", ("PORTAL_LOGIN_GOOGLE_SECRET",), ID="x", SECRET="")]
    [error] = check_settings()
    assert error.id == "iotportal.E005"
    assert error.hint is not None
    assert "PORTAL_LOGIN_GOOGLE_SECRET" in error.hint


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://sso.example.com/realms/home", True),
        ("http://localhost:8080", True),
        ("http://sso.example.com", False),
        ("sso.example.com", False),
        ("ftp://sso.example.com", False),
        ("https://", False),
    ],
)
def test_an_issuer_is_reached_by_https_or_on_this_machine(settings: Settings, url: str, good: bool) -> None:
    settings.LOGIN_PROVIDERS = [site(URL=url, ID="x", SECRET="y")]
    assert (ids(check_settings) == []) is good


def test_apples_key_is_a_key(settings: Settings) -> None:
    settings.LOGIN_PROVIDERS = [site("apple", ID="x", TEAM="t", KEY_ID="k", KEY="nothing")]
    assert ids(check_settings) == ["iotportal.E007"]
    key = pki.private_key_pem(pki.new_private_key(pki.KeyAlgorithm.EC)).decode()
    settings.LOGIN_PROVIDERS = [site("apple", ID="x", TEAM="t", KEY_ID="k", KEY=key)]
    assert check_settings() == []


def test_a_misspelt_variable_is_an_error(settings: Settings) -> None:
    settings.LOGIN_UNKNOWN = ["PORTAL_LOGIN_GOGLE_ID"]
    assert ids(check_settings) == ["iotportal.E008"]
