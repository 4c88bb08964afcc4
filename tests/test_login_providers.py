"""Which sites people can sign in with, as the environment says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from iotportal.login_providers import PREFIX, for_allauth, read, unknown


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def say(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)


def test_without_variables_there_is_none() -> None:
    assert read() == []
    assert for_allauth(read()) == {}


def test_two_variables_make_google(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, GOOGLE_ID=" 123.apps ", GOOGLE_SECRET="s")
    [google] = read()
    assert (google.id, google.name, google.missing, google.trusts_email) == ("google", "Google", (), True)
    assert for_allauth([google]) == {
        "google": {
            "APPS": [
                {
                    "client_id": "123.apps",
                    "secret": "s",
                    "name": "Google",
                    "settings": {"trusts_email": True, "oauth_pkce_enabled": True},
                }
            ]
        }
    }


@pytest.mark.parametrize("site", ["github", "facebook", "amazon"])
def test_nobody_elses_word_on_addresses_is_taken_unless_that_is_said(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    say(monkeypatch, **{f"{site.upper()}_ID": "x", f"{site.upper()}_SECRET": "y"})
    assert not read()[0].trusts_email
    say(monkeypatch, **{f"{site.upper()}_TRUST_EMAIL": "yes"})
    assert read()[0].trusts_email


def test_there_may_be_several_providers_of_openid_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, OIDC_URL="https://a.example.com/", OIDC_ID="a", OIDC_SECRET="x", OIDC_NAME="Work")
    say(monkeypatch, OIDC2_URL="https://b.example.com", OIDC2_ID="b", OIDC2_SECRET="y")
    apps = for_allauth(read())["openid_connect"]["APPS"]
    assert [(app["provider_id"], app["name"], app["settings"]["server_url"]) for app in apps] == [
        ("oidc", "Work", "https://a.example.com"),
        ("oidc2", "OpenID Connect", "https://b.example.com"),
    ]


def test_apple_signs_with_a_key_that_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key.p8").write_text("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n")
    say(monkeypatch, APPLE_ID="com.example", APPLE_TEAM="T", APPLE_KEY_ID="K", APPLE_KEY_FILE=str(tmp_path / "key.p8"))
    [app] = for_allauth(read())["apple"]["APPS"]
    assert (app["client_id"], app["secret"], app["key"]) == ("com.example", "K", "T")
    assert app["settings"]["certificate_key"].startswith("-----BEGIN PRIVATE KEY-----\n")


def test_what_is_set_up_by_half_is_not_offered_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, GITHUB_ID="x", OIDC_NAME="Work", OIDC3_URL="https://c.example.com", FACEBOOK_SECRET=" ")
    assert [(one.id, one.missing) for one in read()] == [
        ("github", ("PORTAL_LOGIN_GITHUB_SECRET",)),
        ("oidc3", ("PORTAL_LOGIN_OIDC3_ID", "PORTAL_LOGIN_OIDC3_SECRET")),
    ]
    assert for_allauth(read()) == {}


def test_misspelt_variables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, GOGLE_ID="x", GOOGLE_SECRET_FILE="/x", OIDC2_NAME="Home", OIDC10_ID="x", APPLE_SECRET="y")
    monkeypatch.delenv("PORTAL_LOGIN_GOOGLE_SECRET_FILE")
    assert unknown() == ["PORTAL_LOGIN_APPLE_SECRET", "PORTAL_LOGIN_GOGLE_ID", "PORTAL_LOGIN_OIDC10_ID"]


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, GOOGLE_ID="x", GOOGLE_SECRET="hush")
    assert "hush" not in repr(read())
