import base64
import secrets
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from devices.sealing import SealError, parse_seal_key, seal, unseal

SECRET = b"-----BEGIN PRIVATE KEY-----\n"


def test_what_was_sealed_opens_for_the_same_device() -> None:
    device_id = uuid4()
    assert unseal(seal(SECRET, device_id), device_id) == SECRET


def test_the_seal_does_not_show_the_secret_nor_repeat_itself() -> None:
    device_id = uuid4()
    first, second = seal(SECRET, device_id), seal(SECRET, device_id)
    assert SECRET not in first
    assert first != second


def test_it_does_not_open_for_another_device() -> None:
    with pytest.raises(SealError, match="another device"):
        unseal(seal(SECRET, uuid4()), uuid4())


def test_it_does_not_open_with_another_key(settings: Settings) -> None:
    device_id = uuid4()
    sealed = seal(SECRET, device_id)
    settings.SEAL_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
    with pytest.raises(SealError, match="another PORTAL_SEAL_KEY"):
        unseal(sealed, device_id)


def test_no_byte_of_it_can_be_changed_or_left_out() -> None:
    device_id = uuid4()
    sealed = seal(SECRET, device_id)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealError):
            unseal(bytes(changed), device_id)
        with pytest.raises(SealError):
            unseal(sealed[:place], device_id)


@given(st.binary(max_size=60))
def test_no_nonsense_opens(nonsense: bytes) -> None:
    with pytest.raises(SealError):
        unseal(nonsense, uuid4())


@pytest.mark.parametrize("text", ["", "abc", "A" * 44, "A" * 42 + "==", "!" * 43 + "=", base64.b64encode(bytes(33)).decode()])
def test_a_seal_key_is_32_bytes_in_base64_and_nothing_else(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PORTAL_SEAL_KEY"):
        parse_seal_key(text)
