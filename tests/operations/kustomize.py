"""What Kustomize would make of docker/kubernetes/, as far as these files need it: no container engine or cluster is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from iotportal.embedded.state import CHECKOUT

KUBERNETES = CHECKOUT / "docker" / "kubernetes"
OVERLAYS = ("eks", "minikube")
VERSION = "1.33"
OPERATORS = {"postgresql.cnpg.io/v1", "rabbitmq.com/v1beta1"}  # whose schemas are not Kubernetes' own

Resource = dict[str, Any]


def merged(base: Any, patch: Any) -> Any:
    """A strategic merge as far as these files need one: objects by key, lists by `name` or `mountPath`, all else replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {
            key: merged(base[key], patch[key]) if key in base and key in patch else {**base, **patch}[key]
            for key in {**base, **patch}
        }
    for key in ("name", "mountPath"):
        if (
            isinstance(base, list)
            and isinstance(patch, list)
            and all(key in item for item in base + patch if isinstance(item, dict))
        ):
            mine, theirs = ({item[key]: item for item in items} for items in (base, patch))
            return [
                merged(mine[name], theirs[name]) if name in mine and name in theirs else {**mine, **theirs}[name]
                for name in {**mine, **theirs}
            ]
    return patch


def patched(resources: list[Resource], patch: Resource, target: dict[str, str]) -> list[Resource]:
    label, _, value = target.get("labelSelector", "").partition("=")

    def meant(resource: Resource) -> bool:
        about = resource["metadata"]
        return (
            resource["kind"] == target["kind"]
            and target.get("name", about["name"]) == about["name"]
            and (not label or about.get("labels", {}).get(label) == value)
        )

    assert any(map(meant, resources)), target
    change = {**patch, "metadata": {key: value for key, value in patch["metadata"].items() if key != "name"}}
    return [merged(resource, change) if meant(resource) else resource for resource in resources]


@cache
def built(folder: Path) -> list[Resource]:
    """The resources of a kustomization, without what its generators make; not to be changed."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    resources: list[Resource] = []
    for name in plan["resources"]:
        path = folder / name
        resources += built(path) if path.is_dir() else [one for one in yaml.safe_load_all(path.read_text()) if one]
    for patch in plan.get("patches", ()):
        resources = patched(resources, yaml.safe_load((folder / patch["path"]).read_text()), patch["target"])
    return resources


def generated(folder: Path) -> tuple[set[str], set[str]]:
    """The names of the ConfigMaps and Secrets that an overlay and the base make."""
    plans = [yaml.safe_load((path / "kustomization.yaml").read_text()) for path in (folder, KUBERNETES / "base")]
    return tuple({one["name"] for plan in plans for one in plan.get(f"{kind}Generator", ())} for kind in ("configMap", "secret"))  # type: ignore[return-value]  # a tuple of two


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for resource in resources:
        spec = resource.get("spec", {})
        if resource["kind"] == "RabbitmqCluster":
            spec = spec["override"]["statefulSet"]["spec"]
        if "template" in spec:
            yield resource["metadata"]["name"], spec["template"]["spec"]
