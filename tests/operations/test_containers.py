"""What docker/ holds is well-formed, pinned, and fits the code: no container engine is needed for any of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from iotportal import processes
from iotportal.embedded import nginx
from iotportal.embedded.state import CHECKOUT

DOCKER = CHECKOUT / "docker"
ENTRYPOINT = DOCKER / "entrypoint.sh"
BIN = Path(sys.executable).parent
OUTSIDE = {"443", "8883"}


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **variables}
    return subprocess.run([str(word) for word in words], cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as the image has it: what .dockerignore lets through, and nothing else."""
    root = tmp_path_factory.mktemp("image")
    lines = [line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    patterns = {line.removeprefix("**/") for line in lines if line.startswith("**/")}
    left_out = shutil.ignore_patterns(*(patterns - {"__pycache__"}))  # the image compiles; here it would only take time
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, root / name, ignore=left_out)
        else:
            shutil.copy(CHECKOUT / name, root / name)
    return root


def test_the_files_pass_the_linters_of_their_kind() -> None:
    for words in (
        ("hadolint", "docker/Dockerfile"),
        ("yamllint", "--strict", "-c", ".yamllint.yaml", "docker", ".github"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", ".github/workflows/ci.yml"),
    ):
        done = run(BIN / words[0], *words[1:])
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_is_pinned_to_a_version() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    images += re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) > 10
    for name in images:
        assert name == "${PORTAL_IMAGE:-iotportal:local}" or re.search(r":\d+\.\d+", name), name


def test_every_container_is_locked_down_and_only_two_ports_are_published() -> None:
    published = set()
    for name, service in compose()["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["deploy"]["resources"]["limits"]["memory"] if name != "manage" else True, name
        assert "user" in service or service["build"], name  # the portal's image names its user itself
        published |= {port.split(":")[0] for port in service.get("ports", ())}
    assert published == OUTSIDE
    assert re.search(r"^USER 10001:10001$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)


def test_secrets_are_files_that_the_script_makes_and_no_value_is_in_the_repository(tmp_path: Path) -> None:
    assert run("sh", DOCKER / "secrets.sh", tmp_path / "secrets").returncode == 0
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    wanted = {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    assert wanted - {"tls.crt", "tls.key"} <= set(made)
    assert made["postgres_password"] in made["database_url"]
    assert made["valkey_password"] in made["valkey_url"]
    assert made["valkey_password"] in made["valkey_auth.conf"]
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    run("sh", DOCKER / "secrets.sh", tmp_path / "secrets")
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made  # what is there is kept


def test_every_variable_is_one_that_the_settings_read() -> None:
    known = "".join((CHECKOUT / "iotportal" / name).read_text() for name in ("settings.py", "env.py", "login_providers.py"))
    text = "".join((DOCKER / name).read_text() for name in ("compose.yaml", "Dockerfile", ".env.example"))
    names = set(re.findall(r"\b(?:PORTAL|AMQP|MQTT|DATABASE|VALKEY|CELERY)_[A-Z_]+\b|\bRABBITMQ_URL\b", text))
    assert len(names) > 20
    for name in names - {"PORTAL_IMAGE"}:
        assert f'"{name.removesuffix("_FILE")}' in known, name


def test_compose_fills_in_every_word_of_nginxs_template() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+)\}", nginx.TEMPLATE.read_text()))
    given = compose()["services"]["nginx"]["environment"]
    assert wanted <= set(given)
    kept = re.compile(given["NGINX_ENVSUBST_FILTER"].replace("$$", "$"))
    assert all(kept.search(name) for name in wanted)
    addresses = {
        service["networks"]["outside"]["ipv4_address"] for name, service in compose()["services"].items() if "web-" in name
    }
    assert set(re.findall(r"server ([\d.]+):8000", given["NGINX_UPSTREAM"])) == addresses


def test_each_word_of_the_entry_point_becomes_its_process(tmp_path: Path) -> None:
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    commands = {name: service["command"] for name, service in compose()["services"].items() if "build" in service}
    assert {command[0] for command in commands.values()} == {
        "web", "bridge", "tasks", "beat", "emulators", "broker-auth", "setup", "manage",
    }  # fmt: skip
    for word in processes.PROCESSES:
        done = run(ENTRYPOINT, word, "--more", PATH=path)
        assert done.stdout.startswith(f"-m iotportal.processes {word} ")
        assert done.stdout.endswith("--more\n")
    assert run(ENTRYPOINT, "manage", "check", "--deploy", PATH=path).stdout == "manage.py check --deploy\n"
    assert run(ENTRYPOINT, "nothing", PATH=f"{BIN}:{path}").returncode == 2


def test_the_image_makes_an_authority_without_a_server_and_rabbitmqs_files_without_a_key_of_a_ca(
    image: Path, tmp_path: Path
) -> None:
    made, taken, broker = tmp_path / "made", tmp_path / "taken" / "pki", tmp_path / "broker"
    broker.mkdir()
    variables = {"PATH": f"{BIN}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PORTAL_BROKER": "rabbitmq"}
    script = image / "docker" / "entrypoint.sh"
    assert run(script, "pki", "--name", "rabbitmq", **variables, PORTAL_PKI_DIR=str(made)).returncode == 0
    assert run(script, "take-pki", made, **variables, PORTAL_PKI_DIR=str(taken)).returncode == 0
    assert {path.name: path.stat().st_mode & 0o777 for path in taken.iterdir()} == dict.fromkeys(
        {path.name for path in made.iterdir() if not path.name.startswith(".")}, 0o600
    )
    done = run(script, "broker-files", broker, **variables, PORTAL_PKI_DIR=str(taken))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in broker.iterdir()} == {
        "rabbitmq.conf", "enabled_plugins", "definitions.json", "clients-ca.pem", "server.pem", "server.key",
    }  # fmt: skip
    assert all(path.stat().st_mode & 0o777 == 0o640 for path in broker.iterdir())
    assert f"ssl_options.keyfile = {broker}/server.key\n" in (broker / "rabbitmq.conf").read_text()
    assert json.loads((broker / "definitions.json").read_text())["users"]


def test_the_pipelines_run_what_is_there() -> None:
    text = (CHECKOUT / "Jenkinsfile").read_text() + (CHECKOUT / ".github/workflows/ci.yml").read_text()
    scripts = set(re.findall(r"\.ci/[a-z-]+(?:\.[a-z]+)?", text))
    assert {".ci/run", ".ci/image.sh", ".ci/smoke.py"} <= scripts
    assert all((CHECKOUT / name).is_file() for name in scripts)
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for words in re.findall(r"'make ((?:[a-z]+ ?)+)", (CHECKOUT / "Jenkinsfile").read_text()):
        assert set(words.split()) <= targets | {"python"}, words
