"""What docker/kubernetes/ holds, put together as Kustomize would: valid, locked down, and naming nothing that is not there."""

import re

import kubernetes_validate
import pytest
import yaml

from iotportal import processes
from iotportal.embedded.state import CHECKOUT
from tests.operations.kustomize import KUBERNETES, OPERATORS, OVERLAYS, VERSION, built, generated, pods


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid_and_each_process_is_in_it_once(overlay: str) -> None:
    resources = built(KUBERNETES / "overlays" / overlay)
    for resource in resources:
        if resource["apiVersion"] not in OPERATORS:
            kubernetes_validate.validate(resource, VERSION, strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in resources]
    assert len(names) == len(set(names))
    started = [
        container["args"][0] for name, pod in pods(resources) for container in pod["containers"] if name in processes.PROCESSES
    ]
    assert sorted(started) == ["beat", "bridge", "broker-auth", "emulators", "tasks", "web"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_locked_down_and_of_a_pinned_image(overlay: str) -> None:
    for name, pod in pods(built(KUBERNETES / "overlays" / overlay)):
        ours = [*pod.get("initContainers", ()), *(one for one in pod["containers"] if "image" in one)]
        for container in ours:
            assert container["image"] == "iotportal" or re.search(r":\d+\.\d+\.?\d*", container["image"]), name
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert not container["securityContext"]["allowPrivilegeEscalation"], name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        if name != "rabbitmq" or overlay != "eks":  # the operator's own part
            assert pod["securityContext"]["runAsNonRoot"], name
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert all(container["resources"]["limits"]["memory"] for container in pod["containers"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_pods_name_is_there(overlay: str) -> None:
    folder = KUBERNETES / "overlays" / overlay
    maps, secrets = generated(folder)
    resources = built(folder)
    labels = {
        tuple(resource["spec"]["selector"]["matchLabels"].items())
        for resource in resources
        if "template" in resource.get("spec", {}) and "selector" in resource["spec"]
    }
    for _, pod in pods(resources):
        volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
        assert {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume} <= secrets
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
            assert {source["configMapRef"]["name"] for source in container.get("envFrom", ())} <= maps
    for resource in resources:
        selector = resource.get("spec", {}).get("selector")
        if resource["kind"] == "Service" and selector != {"app.kubernetes.io/name": "rabbitmq"}:  # in eks the operator's
            assert tuple(selector.items()) in labels, resource["metadata"]["name"]


def test_the_authoritys_own_key_never_reaches_a_cluster_and_a_ca_key_never_the_broker() -> None:
    for overlay in OVERLAYS:
        plan = yaml.safe_load((KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text())
        files = {one["name"]: one["files"] for one in plan["secretGenerator"]}
        assert not any("root-ca.key" in file for all_files in files.values() for file in all_files)
        assert files["broker-tls"] == ["secrets/pki/clients-ca.pem", "secrets/pki/server.pem", "secrets/pki/server.key"]


def test_every_variable_of_the_manifests_is_one_that_the_settings_read() -> None:
    known = "".join((CHECKOUT / "iotportal" / name).read_text() for name in ("settings.py", "env.py", "login_providers.py"))
    text = "".join(path.read_text() for path in KUBERNETES.rglob("*") if path.suffix in {".yaml", ".env"})
    names = set(re.findall(r"\b(?:PORTAL|AMQP|MQTT|DATABASE|VALKEY)_[A-Z_]+\b|\bRABBITMQ_URL\b", text))
    assert len(names) > 10
    for name in names:
        assert f'"{name.removesuffix("_FILE")}' in known, name
