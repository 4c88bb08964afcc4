"""What goes out to addresses that people gave: never inside, never elsewhere than checked, never without bounds."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_django import Settings

from iotportal import outward
from notifications.tests.http_server import Vendor, certificate, serve


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with serve(Vendor()) as found:
        yield found


@pytest.fixture
def allowed(vendor: Vendor, settings: Settings) -> Vendor:
    settings.OUTWARD_ORIGINS = frozenset({vendor.url})
    return vendor


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Play a name server whose answer differs from time to time; returns the names that it was asked for."""
    asked: list[str] = []
    left = list(answers)

    def look_up(host: str, port: int, *_more: Any, **_other: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104 - refused
        "255.255.255.255", "240.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "::127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not outward.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_of_the_internet_are(address: str) -> None:
    assert outward.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https:///x", "//example.com/", "example.com",
        "javascript:alert(1)",
        "https://user:word@example.com/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://a\\@b/",
        "https://example.com/#x", "https://exa mple.com/", "https://example.com/\r\nHost: x", "https://example.com:0/",
        "https://example.com:99999/", "https://[::1/", "https://ex\u00e4mple.com/", "https://example.com/" + "x" * 2000, "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_address_on_the_internet_is_refused_by_its_text(url: str) -> None:
    with pytest.raises(outward.NotAllowed):
        outward.check_url(url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1"])
def test_no_spelling_of_this_machine_gets_through(host: str, vendor: Vendor) -> None:
    with pytest.raises((outward.NotAllowed, requests.ConnectionError)):
        outward.post(f"https://{host}:{vendor.port}/", b"", {})
    assert vendor.asked == []


def test_a_name_with_one_address_inside_is_refused_whole(monkeypatch: pytest.MonkeyPatch, vendor: Vendor) -> None:
    resolve_to(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    with pytest.raises(outward.NotAllowed):
        outward.post(f"https://rebind.example.com:{vendor.port}/", b"", {})


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that says something else the second time is not asked a second time."""
    asked = resolve_to(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(requests.ConnectionError):
        outward.post("https://rebind.example.com/", b"", {})
    assert (asked, connected) == (["rebind.example.com"], [("1.1.1.1", 443)])


def test_the_name_stays_in_host_and_tls_while_the_connection_goes_to_the_address(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    context = certificate("hooks.example.com", tmp_path)
    with serve(Vendor(), context) as vendor:
        settings.OUTWARD_ORIGINS = frozenset({f"https://hooks.example.com:{vendor.port}"})
        resolve_to(monkeypatch, ["127.0.0.1"])
        with outward.session() as session:
            session.verify = str(tmp_path / "certificate.pem")
            assert session.post(f"https://hooks.example.com:{vendor.port}/x", data=b"{}").status_code == 200
            session.verify = True
            with pytest.raises(requests.exceptions.SSLError):  # one that nobody vouches for is not talked to
                session.post(f"https://hooks.example.com:{vendor.port}/x", data=b"{}")
        assert vendor.server_names[0] == "hooks.example.com"
        assert [one.headers["host"] for one in vendor.asked] == [f"hooks.example.com:{vendor.port}"]


def test_a_redirect_is_an_answer_and_nothing_more(allowed: Vendor) -> None:
    allowed.headers = {"Location": f"{allowed.url}/inside"}
    allowed.answer = lambda _asked: (302, {})
    assert outward.post(f"{allowed.url}/x", b"", {}).status_code == 302
    assert [one.path for one in allowed.asked] == ["/x"]


def test_an_origin_that_is_vouched_for_is_not_all_of_its_host(allowed: Vendor) -> None:
    with pytest.raises(outward.NotAllowed):
        outward.post(f"http://127.0.0.1:{allowed.port + 1}/", b"", {})
    with pytest.raises(outward.NotAllowed):
        outward.post(f"http://localhost:{allowed.port}/", b"", {})


def test_of_a_long_answer_the_beginning_is_read(allowed: Vendor) -> None:
    allowed.answer = lambda _asked: (200, b"x" * 5_000_000)
    assert len(outward.post(allowed.url, b"", {}).content) == outward.MAX_BYTES


def read_request(said: BufferedReader) -> None:
    """Read a request to its end. Raises ConnectionResetError if it has none."""
    length = 0
    while (line := said.readline()) != b"\r\n":
        if not line:
            raise ConnectionResetError
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    said.read(length)


@contextmanager
def dripping(settings: Settings, *, answers: int = 0) -> Iterator[tuple[str, threading.Event]]:
    """Serve one connection: some whole answers, then one that comes byte by byte. Yields its URL, and whether it was cut off."""
    cut = threading.Event()

    def drip(server: socket.socket) -> None:
        link, _ = server.accept()
        with link, link.makefile("rb") as said:
            try:
                for _ in range(answers):
                    read_request(said)
                    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                read_request(said)
                link.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(200):
                    if select.select([link], [], [], 0.02)[0] and not link.recv(65536):
                        raise ConnectionResetError
                    link.sendall(b"x")
                link.sendall(b"\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                cut.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings.OUTWARD_ORIGINS = frozenset({url})
        thread = threading.Thread(target=drip, args=[server], daemon=True)
        thread.start()
        yield url, cut
        thread.join(10)


def test_one_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(outward, "TOTAL_S", 0.3)
    with dripping(settings) as (url, cut), pytest.raises(requests.RequestException):
        outward.post(url, b"", {})
    assert cut.is_set()


def test_one_that_drips_over_a_connection_that_was_kept_is_cut_off_too(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(outward, "TOTAL_S", 0.3)
    with dripping(settings, answers=1) as (url, cut), outward.session() as session:
        assert session.post(url, data=b"x").status_code == 200
        with pytest.raises(requests.RequestException):
            session.post(url, data=b"x")
    assert cut.is_set()


def test_one_whose_name_server_took_all_of_the_time_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(outward, "TOTAL_S", 0.05)
    look_up, over = socket.getaddrinfo, threading.Event()
    monkeypatch.setattr(outward._Bounds, "_cut", _telling(outward._Bounds._cut, over))

    def late(*about: Any, **more: Any) -> Any:
        assert over.wait(10)
        return look_up(*about, **more)

    monkeypatch.setattr(socket, "getaddrinfo", late)
    with dripping(settings) as (url, cut), pytest.raises(requests.RequestException):
        outward.post(url, b"", {})
    assert cut.is_set()


def _telling(cut: Callable[[Any], None], told: threading.Event) -> Callable[[Any], None]:
    def cut_and_tell(bounds: Any) -> None:
        cut(bounds)
        told.set()

    return cut_and_tell


def test_the_machines_own_proxy_and_passwords_are_not_used(
    allowed: Vendor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    outward.post(allowed.url, b"", {})
    assert "authorization" not in allowed.asked[0].headers
