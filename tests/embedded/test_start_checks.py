"""What `make run` looks at before it starts anything: ports, addresses, the lock, secrets."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from iotportal.embedded import addresses, config, stack
from iotportal.embedded.errors import StartError
from iotportal.embedded.lock import AlreadyRunning, RunLock
from iotportal.embedded.ports import free_port
from iotportal.embedded.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "var")
    made.make()
    return made


def chosen() -> dict[str, str]:
    """Return a free port for everything."""
    names = ("PORT", "MQTT_PORT", "MAIL_PORT", "MAIL_PAGE_PORT", "PAYPAL_PORT", "POSTGRES_PORT", "VALKEY_PORT")
    return {name: str(free_port()) for name in names}


def test_it_uses_the_ports_it_was_told(state: State) -> None:
    told = chosen()
    assert config.read(state, told).url == f"http://127.0.0.1:{told['PORT']}"
    assert config.read(state, {}).mqtt == 8883


def test_it_names_a_taken_port_its_holder_and_what_changes_it(state: State) -> None:
    told = chosen()
    with socket.create_server(("127.0.0.1", int(told["PORT"]))), pytest.raises(StartError) as caught:
        config.require_free_ports(config.read(state, told))
    assert f"Port {told['PORT']} is taken (by " in str(caught.value)
    assert f"process {os.getpid()})" in str(caught.value)
    assert "make run PORT=" in str(caught.value)


def test_it_names_all_taken_ports_at_once_with_ports_that_are_free(state: State) -> None:
    told = chosen()
    with (
        socket.create_server(("127.0.0.1", int(told["PORT"]))),
        socket.create_server(("127.0.0.1", int(told["MAIL_PORT"]))),
        pytest.raises(StartError) as caught,
    ):
        config.require_free_ports(config.read(state, told))
    advice = str(caught.value).rpartition("make run ")[2].split()
    assert [word.partition("=")[0] for word in advice] == ["PORT", "MAIL_PORT"]
    config.require_free_ports(config.read(state, told | dict(word.split("=") for word in advice)))


def test_a_port_of_a_connection_that_just_ended_counts_as_free(state: State) -> None:
    told = chosen()
    with socket.create_server(("127.0.0.1", int(told["PORT"]))) as server:
        client = socket.create_connection(server.getsockname())
        link, _ = server.accept()
        link.close()  # the server's side closes first, so its port stays in TIME_WAIT
        client.close()
    config.require_free_ports(config.read(state, told))


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "80 80", "８０"])
def test_it_refuses_what_is_no_port(state: State, value: str) -> None:
    with pytest.raises(StartError, match="PORT must be a number between 1 and 65535"):
        config.read(state, {"PORT": value})


def test_it_refuses_one_port_for_two_things(state: State) -> None:
    with pytest.raises(StartError, match="PORT and MQTT_PORT are both 8883"):
        config.read(state, {"PORT": "8883"})


def test_it_keeps_the_inner_ports_for_the_next_run_unless_they_are_taken(state: State) -> None:
    first = config.read(state, {})
    config.keep_ports(state, first)
    assert config.read(state, {}).postgres == first.postgres
    with socket.create_server(("127.0.0.1", first.postgres)):
        assert config.read(state, {}).postgres != first.postgres


def test_it_stays_on_this_machine_unless_told() -> None:
    found = addresses.resolve("127.0.0.1")
    assert found.is_loopback
    assert found.url(8000) == "http://127.0.0.1:8000"
    assert set(found.names) == {"localhost", "127.0.0.1", "::1"}


def test_everywhere_names_every_address_of_this_machine() -> None:
    found = addresses.resolve("0.0.0.0")
    assert not found.is_loopback
    assert found.inside == "127.0.0.1"
    assert found.public != "0.0.0.0"
    assert found.public in found.names
    assert {"localhost", "127.0.0.1", socket.gethostname()} <= set(found.names)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert addresses.resolve("::1").url(8000) == "http://[::1]:8000"


@pytest.mark.parametrize("host", ["no such name", "999.1.1.1", "example.invalid"])
def test_it_refuses_a_host_that_is_none(host: str) -> None:
    with pytest.raises(StartError, match="HOST=.* is no address and no name that resolves"):
        addresses.resolve(host)


def test_it_refuses_an_address_of_another_machine(state: State) -> None:
    with pytest.raises(StartError, match=r"192\.0\.2\.7 is not an address of this machine"):
        config.require_free_ports(config.read(state, chosen() | {"HOST": "192.0.2.7"}))


def test_only_one_can_hold_the_lock_and_it_says_who(state: State) -> None:
    first = RunLock(state).take("http://127.0.0.1:8000")
    with pytest.raises(AlreadyRunning) as caught:
        RunLock(state).take("http://127.0.0.1:9999")
    assert (caught.value.pid, caught.value.url) == (os.getpid(), "http://127.0.0.1:8000")
    first.release()
    RunLock(state).take("http://127.0.0.1:9999").release()


def test_a_killed_holder_leaves_the_lock_free(state: State) -> None:
    code = (
        "import os, signal; from pathlib import Path; from iotportal.embedded.lock import RunLock\n"
        f"from iotportal.embedded.state import State; RunLock(State(Path({str(state.root)!r}))).take('somewhere')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert RunLock(state).holder().url == "somewhere"
    assert not RunLock(state).is_taken()


def test_secrets_are_made_once_and_are_nobody_elses(state: State) -> None:
    told = config.read(state, chosen())
    first = stack.make_secrets(state, told)
    assert stack.make_secrets(state, told) == first
    assert state.secrets.stat().st_mode & 0o077 == 0
    files = list(state.secrets.iterdir())
    assert len(files) >= 7
    assert not [path for path in files if path.stat().st_mode & 0o077]


def test_the_demo_password_is_known_to_all_only_while_nobody_else_can_connect(state: State) -> None:
    told = chosen()
    assert stack.make_secrets(state, config.read(state, told)).demo_password == "demo-portal"
    secret = stack.make_secrets(state, config.read(state, told | {"HOST": "0.0.0.0"})).demo_password
    assert secret != "demo-portal"
    assert len(secret) >= 12
    # And stays what it is, because the user has it now.
    assert stack.make_secrets(state, config.read(state, told)).demo_password == secret


@pytest.mark.parametrize(
    ("shell", "sells", "here"),
    [
        ({}, "paypal_standard", True),
        ({"PORTAL_PAYMENTS": "paypal_orders"}, "paypal_orders", True),
        ({"PORTAL_PAYMENTS": "off"}, "off", False),
        ({"PORTAL_PAYMENTS": "paypal_orders", "PORTAL_PAYPAL_CLIENT_ID": "mine"}, "paypal_orders", False),
    ],
)
def test_credits_are_sold_by_the_paypal_to_try_with_unless_the_shell_has_another(
    state: State, shell: dict[str, str], sells: str, here: bool
) -> None:
    told = config.read(state, chosen())
    env = stack.environment(state, told, shell)
    assert (env["PORTAL_PAYMENTS"], env.get("PORTAL_PAYPAL_URL") == told.paypal_url) == (sells, here)
    assert "PORTAL_PAYPAL_URL" not in stack.environment(state, told, shell, own_paypal=False)


def test_no_secret_stands_in_the_environment_of_a_process(state: State) -> None:
    told = config.read(state, chosen())
    kept = stack.make_secrets(state, told)
    env = stack.environment(
        state, told, {"PATH": "/bin", "PORTAL_SECRET_KEY": "from the shell", "DATABASE_URL": "postgres://elsewhere"}
    )
    values = " ".join(env.values())
    assert kept.postgres_portal not in values
    assert kept.valkey not in values
    assert "PORTAL_SECRET_KEY" not in env
    assert "DATABASE_URL" not in env
    assert env["PATH"] == "/bin"


def test_gateway_and_bridge_have_sockets_unless_their_names_would_be_too_long(state: State) -> None:
    short, long = State(Path("/run/a")), State(Path("/run") / ("a" * 80))
    told = config.read(state, chosen())
    assert stack.environment(short, told, {})["PORTAL_BROKER_SOCKETS"] == "/run/a/run/broker"
    assert stack.environment(long, told, {"PORTAL_BROKER_SOCKETS": "/elsewhere"})["PORTAL_BROKER_SOCKETS"] == ""
