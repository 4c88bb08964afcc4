"""What docker/ says of who runs where agrees with itself and with the code: selectors, ports, ways through, variables.

The operators' schemas are in no package that could be installed here, and are not copied. What the portal says to the operators
is written down below instead, field by field with its type, as CloudNativePG 1.27 and RabbitMQ's cluster operator 2 define them;
what they hand on to Kubernetes (pods, services, resources) is held against Kubernetes' own schema.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from iotportal.embedded import nginx
from iotportal.embedded.state import CHECKOUT
from tests.operations.kustomize import KUBERNETES, OPERATORS, OVERLAYS, VERSION, Resource, built

DOCKER = CHECKOUT / "docker"
NAME, PART_OF = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
PORTAL = ("web", "bridge", "tasks", "beat", "emulators", "broker-auth", "setup")
STORAGE = {"size": str, "storageClass": str}
FIELDS: dict[str, dict[str, Any]] = {
    "RabbitmqCluster": {
        "replicas": int, "image": str, "resources": dict, "terminationGracePeriodSeconds": int,
        "persistence": {"storageClassName": str, "storage": str},
        "rabbitmq": {"additionalPlugins": list},
        "override": {"statefulSet": dict, "service": dict},
    },
    "Cluster": {
        "instances": int, "imageName": str, "resources": dict, "storage": STORAGE, "walStorage": STORAGE,
        "bootstrap": {"initdb": {
            "database": str, "owner": str, "secret": {"name": str}, "encoding": str, "localeCollate": str, "localeCType": str,
            "dataChecksums": bool,
        }},
        "postgresql": {"synchronous": {"method": str, "number": int}, "parameters": dict},
        "affinity": {"topologyKey": str},
    },
}  # fmt: skip


# --- pods, and which of them reach which ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pod:
    """A kind of pod: what selectors and policies see of it. `ports`: by name."""

    labels: Mapping[str, str]
    namespace: str = "portal"
    ports: Mapping[str, int] = field(default_factory=dict)


STRANGER = Pod({})
WORLD, MONITORING = (Pod({}, name) for name in ("elsewhere", "monitoring"))


def pods(resources: list[Resource]) -> dict[str, Pod]:
    """The pods of an overlay by name; those of operators with the labels and ports that the operators give them."""
    found = {}
    for one in resources:
        name, spec = one["metadata"]["name"], one.get("spec", {})
        if one["kind"] == "RabbitmqCluster":
            labels = {NAME: name, "app.kubernetes.io/component": "rabbitmq", PART_OF: "rabbitmq"}
            added = spec["override"]["statefulSet"]["spec"]["template"]["spec"]["containers"]
            found[name] = Pod(labels, ports={"management": 15672, "prometheus": 15692, **named_ports(added)})
        elif one["kind"] == "Cluster":
            found[name] = Pod({"cnpg.io/cluster": name}, ports={"postgresql": 5432, "status": 8000})
        elif "template" in spec:
            template = spec["template"]
            found[name] = Pod(template["metadata"]["labels"], ports=named_ports(template["spec"]["containers"]))
    return found


def named_ports(containers: list[Resource]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for container in containers for port in container.get("ports", ())}


def services(resources: list[Resource]) -> dict[str, set[int]]:
    """The ports of each service by the name that pods find it by, with those that the operators make."""
    found = {one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]} for one in of_kind(resources, "Service")}
    for one in of_kind(resources, "RabbitmqCluster"):
        more = one["spec"]["override"]["service"]["spec"]["ports"]
        found[one["metadata"]["name"]] = {15672, 15692} | {port["port"] for port in more}
    for one in of_kind(resources, "Cluster"):
        found[one["metadata"]["name"] + "-rw"] = {5432}
    return found


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [one for one in resources if one["kind"] == kind]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    terms = selector.get("matchExpressions", ())
    assert all(term["operator"] == "In" for term in terms)
    return wanted <= labels.items() and all(labels.get(term["key"]) in term["values"] for term in terms)


def is_peer(peer: Resource, pod: Pod) -> bool:
    if "namespaceSelector" in peer:
        namespace = {"kubernetes.io/metadata.name": pod.namespace}
        return selects(peer["namespaceSelector"], namespace) and selects(peer.get("podSelector", {}), pod.labels)
    return "podSelector" in peer and pod.namespace == "portal" and selects(peer["podSelector"], pod.labels)


def reaches(policies: list[Resource], source: Pod, target: Pod, port: int) -> bool:
    """Whether policies let a pod reach a port of another, as a network plug-in decides."""
    return may(policies, "Ingress", target, source, port) and may(policies, "Egress", source, target, port)


def may(policies: list[Resource], direction: str, pod: Pod, peer: Pod, port: int) -> bool:
    """Whether `pod` may take (Ingress) or make (Egress) a connection; a pod that no policy selects may."""
    key = {"Ingress": "from", "Egress": "to"}[direction]
    specs = [one["spec"] for one in policies if direction in one["spec"]["policyTypes"]]
    binding = [spec for spec in specs if pod.namespace == "portal" and selects(spec["podSelector"], pod.labels)]
    rules = [rule for spec in binding for rule in spec.get(direction.lower(), ())]
    return not binding or any(
        (key not in rule or any(is_peer(one, peer) for one in rule[key]))
        and ("ports" not in rule or port in {one["port"] for one in rule["ports"]})
        for rule in rules
    )


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def resources(overlay: str) -> list[Resource]:
    return built(KUBERNETES / "overlays" / overlay)


def selectors(resources: list[Resource]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every selector, with where it stands; of a list of values each alone, so that each must select something."""
    for one in resources:
        where, spec = f"{one['kind']} {one['metadata']['name']}", one.get("spec", {})
        if one["kind"] == "Service":
            yield where, {"matchLabels": spec["selector"]}
        elif "selector" in spec:
            yield where, spec["selector"]
        if one["kind"] == "NetworkPolicy":
            rules = [*spec.get("ingress", ()), *spec.get("egress", ())]
            peers = [peer for rule in rules for peer in (*rule.get("from", ()), *rule.get("to", ()))]
            for selector in (spec["podSelector"], *(peer["podSelector"] for peer in peers if "podSelector" in peer)):
                yield where, {**selector, "matchExpressions": []}
                for term in selector.get("matchExpressions", ()):
                    yield from ((where, {"matchLabels": {term["key"]: value}}) for value in term["values"])


def test_every_selector_selects_a_pod_and_every_workload_its_own(resources: list[Resource]) -> None:
    known = pods(resources)
    for where, selector in selectors(resources):
        assert any(selects(selector, pod.labels) for pod in known.values()), where
    for one in resources:
        spec = one.get("spec", {})
        if "template" in spec and "selector" in spec:
            assert selects(spec["selector"], spec["template"]["metadata"]["labels"]), one["metadata"]["name"]
            for constraint in spec["template"]["spec"].get("topologySpreadConstraints", ()):
                assert selects(constraint["labelSelector"], spec["template"]["metadata"]["labels"])
                assert set(constraint["matchLabelKeys"]) <= set(spec["template"]["metadata"]["labels"])
        if one["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            assert target["name"] in {other["metadata"]["name"] for other in of_kind(resources, target["kind"])}
            assert 2 <= spec["minReplicas"] <= spec["maxReplicas"]


def test_a_budget_leaves_a_drain_of_a_machine_something_to_take_away(resources: list[Resource]) -> None:
    replicas = {one["metadata"]["name"]: one["spec"].get("replicas") for one in of_kind(resources, "Deployment")}
    replicas |= {one["metadata"]["name"]: one["spec"]["minReplicas"] for one in of_kind(resources, "HorizontalPodAutoscaler")}
    budgets = of_kind(resources, "PodDisruptionBudget")
    assert {one["metadata"]["name"] for one in budgets} == {"web", "bridge", "tasks", "broker-auth"}
    for one in budgets:
        assert one["spec"]["minAvailable"] < replicas[one["spec"]["selector"]["matchLabels"][NAME]]


def test_every_port_that_is_named_is_one_that_a_pod_listens_on(resources: list[Resource]) -> None:
    known = pods(resources)
    for one in of_kind(resources, "Service"):
        (pod,) = [pod for pod in known.values() if selects({"matchLabels": one["spec"]["selector"]}, pod.labels)]
        for port in one["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            assert target in {*pod.ports, *pod.ports.values()}, one["metadata"]["name"]
    for one in of_kind(resources, "Ingress"):
        for path in one["spec"]["rules"][0]["http"]["paths"]:
            target = path["backend"]["service"]
            (found,) = [other for other in of_kind(resources, "Service") if other["metadata"]["name"] == target["name"]]
            assert target["port"]["name"] in {port["name"] for port in found["spec"]["ports"]}
    for one in of_kind(resources, "NetworkPolicy"):
        listening = {
            port for pod in known.values() if selects(one["spec"]["podSelector"], pod.labels) for port in pod.ports.values()
        }
        assert {port["port"] for rule in one["spec"].get("ingress", ()) for port in rule.get("ports", ())} <= listening


def test_the_policies_let_through_what_is_needed_and_nothing_else(resources: list[Resource], overlay: str) -> None:
    known, policies = pods(resources), of_kind(resources, "NetworkPolicy")

    def open_to(source: Pod) -> set[tuple[str, int]]:
        return {
            (name, port) for name, pod in known.items() for port in pod.ports.values() if reaches(policies, source, pod, port)
        }

    devices = {("rabbitmq", 8883)}
    for name in PORTAL:
        needed = {("postgres", 5432), ("valkey", 6379), ("rabbitmq", 5671), ("rabbitmq", 15672), *devices}
        assert open_to(known[name]) == needed, name
    assert open_to(known["rabbitmq"]) == {("broker-auth", 8079), *(("rabbitmq", port) for port in (5671, 8883, 15672, 15692))}
    watched = {(name, 9100) for name in PORTAL if name != "setup"}
    assert open_to(MONITORING) == {("rabbitmq", 15692), *watched, *devices}
    assert open_to(STRANGER) == open_to(WORLD) == devices
    if overlay == "minikube":
        assert open_to(Pod({}, "ingress-nginx")) == {("web", 8000), *devices}
    else:
        assert open_to(Pod({}, "cnpg-system")) == {("postgres", 8000), ("postgres", 5432), *devices}
        (rule,) = [one for one in policies if one["metadata"]["name"] == "web"]
        assert all(set(peer) == {"ipBlock"} for part in rule["spec"]["ingress"] for peer in part["from"])


def test_the_operators_are_told_what_they_know_and_kubernetes_what_it_knows() -> None:
    resources = built(KUBERNETES / "overlays" / "eks")
    told = {one["kind"]: one["spec"] for one in resources if one["apiVersion"] in OPERATORS}
    assert set(told) == set(FIELDS)
    for kind, spec in told.items():
        assert_fits(spec, FIELDS[kind], kind)
    assert told["Cluster"]["postgresql"]["synchronous"]["method"] in {"any", "first"}
    rabbit = told["RabbitmqCluster"]
    template = rabbit["override"]["statefulSet"]["spec"]["template"]
    # What the operator adds to make a whole of it.
    labels = {NAME: "rabbitmq"}
    (container,) = template["spec"]["containers"]
    server = {**container, "image": rabbit["image"], "resources": rabbit["resources"]}
    database = {"name": "database", "image": "any", "resources": told["Cluster"]["resources"]}
    pod = {**template["spec"], "containers": [server, database], "terminationGracePeriodSeconds": 60}
    spec = {
        "serviceName": "rabbitmq-nodes",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    about = {"name": "rabbitmq", "labels": labels}
    for kind, api, one in (("StatefulSet", "apps/v1", spec), ("Service", "v1", rabbit["override"]["service"]["spec"])):
        kubernetes_validate.validate({"apiVersion": api, "kind": kind, "metadata": about, "spec": one}, VERSION, strict=True)
    kubernetes_validate.validate(yaml.safe_load((KUBERNETES / "overlays/eks/to-managed.yaml").read_text()), VERSION, strict=True)


def assert_fits(value: Any, wanted: Any, where: str) -> None:
    if not isinstance(wanted, dict):
        assert type(value) is wanted, where
        return
    assert set(value) <= set(wanted), where
    for name, part in value.items():
        assert_fits(part, wanted[name], f"{where}.{name}")


# --- what the containers are told, and what the settings make of it -------------------------------------------------------


def told_by_compose() -> dict[str, str]:
    stack = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return {**words_of(DOCKER / ".env.example"), **{name: str(value) for name, value in stack["x-environment"].items()}}


def told_by(overlay: str) -> dict[str, str]:
    plan = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    literals = dict(line.split("=", 1) for line in plan["configMapGenerator"][0]["literals"])
    (web,) = [one for one in of_kind(built(KUBERNETES / "overlays" / overlay), "Deployment") if one["metadata"]["name"] == "web"]
    own = {one["name"]: one["value"] for one in web["spec"]["template"]["spec"]["containers"][0]["env"]}
    return {**literals, **words_of(KUBERNETES / "overlays" / overlay / "portal.env"), **own}


def words_of(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def image_variables() -> dict[str, str]:
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    return dict(re.findall(r"\b(PORTAL_[A-Z_]+)=(\S+)", text[text.rindex("\nENV ") :]))


@pytest.mark.parametrize(("kind", "database"), [("compose", "postgres"), ("minikube", "postgres"), ("eks", "postgres-rw")])
def test_the_settings_take_what_a_deployment_tells_them_and_nothing_stays_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, database: str
) -> None:
    subprocess.run(["sh", DOCKER / "secrets.sh", tmp_path, database], check=True, capture_output=True)
    told = told_by_compose() if kind == "compose" else told_by(kind)
    told = {name: re.sub(r"^/run/(secrets|portal)/", f"{tmp_path}/", value) for name, value in told.items()}
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **image_variables(), **told})
    made = runpy.run_path(str(CHECKOUT / "iotportal" / "settings.py"))
    monkeypatch.undo()
    here = {name for name, value in made.items() if name.isupper() and re.search(r"localhost|127\.0\.0\.1|\[::1\]", str(value))}
    assert here <= {"BROKER_BIND", "CSP_REPORT_URI"}  # of the embedded broker, which does not run here
    assert made["ALLOWED_HOSTS"] == ["portal.example.com"]
    assert made["BROKER"] == "rabbitmq"
    assert not made["DEBUG"]
    assert made["ALLAUTH_TRUSTED_PROXY_COUNT"] == 1
    at = made["DATABASES"]["default"]
    ends = {(at["HOST"], int(at["PORT"])), (made["AMQP_HOST"], made["AMQP_PORT"]), (made["MQTT_HOST"], made["MQTT_PORT"])}
    ends |= {
        (url.hostname, url.port) for url in map(urlsplit, (made["VALKEY_URL"], made["RABBITMQ_URL"], made["BROKER_AUTH_URL"]))
    }
    if kind == "compose":
        served = {"postgres": {5432}, "valkey": {6379}, "rabbitmq": {5671, 8883, 15672}, "broker-auth": {8079}}
        stack = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
        assert all("inside" in stack[host]["networks"] for host in served)
    else:
        served = services(built(KUBERNETES / "overlays" / kind))
    for host, port in ends:
        assert port in served[host], (host, port)


def test_processes_listen_where_everybody_looks_for_them() -> None:
    stack = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    source = (CHECKOUT / "iotportal" / "web.py").read_text()
    (web_port,) = re.findall(r'"--port", type=int, default=(\d+)', source)
    assert set(re.findall(r":(\d+) max_fails", stack["nginx"]["environment"]["NGINX_UPSTREAM"])) == {web_port}
    watch = image_variables()["PORTAL_WATCH_PORT"]
    exposed = re.findall(r"^EXPOSE (.+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[0].split()
    for overlay in OVERLAYS:
        known = pods(built(KUBERNETES / "overlays" / overlay))
        assert str(known["web"].ports["http"]) == web_port
        for name in set(PORTAL) - {"setup"}:
            assert str(known[name].ports["watch"]) == watch
            assert {str(port) for port in known[name].ports.values()} <= set(exposed)
    outer = {port.rpartition(":")[2] for service in stack.values() for port in service.get("ports", ())}
    assert outer == {stack["nginx"]["environment"]["NGINX_HTTPS_PORT"], "8883"}


@pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed here")
def test_nginx_takes_the_configuration_that_compose_gives_it(tmp_path: Path, pki: Path) -> None:
    words = {
        name: str(value)
        for name, value in yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["nginx"]["environment"].items()
    }
    words |= {"NGINX_RUN": str(tmp_path), "NGINX_CERTIFICATE": str(pki / "server.pem"), "NGINX_KEY": str(pki / "server.key")}
    (tmp_path / "nginx.conf").write_text(
        nginx.render(nginx.TEMPLATE.read_text(), {**words, "PORTAL_URL": "https://portal.example.com"})
    )
    done = subprocess.run(
        [str(nginx.program()), "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
