/**
 * A device of the Node.js simulator without a broker: reads one JSON object a line, prints what the device says and shows.
 *
 * {"make": {"id", "profile", "setup", "faults"}} makes it; {"api", "payload": hex}, {"type": line} and {"pin": [number, level]} go to it.
 */

import { createInterface } from "node:readline";
import { Device, parsePins } from "../node/device.js";
import { FaultInjector } from "../node/faults.js";
import { findProfile } from "../node/profiles.js";

let device;
let faults;
let printed = [];

function make({ id, profile, setup = {}, dials = {} }) {
  device = new Device(id, {
    profile: findProfile(profile),
    setup: { ...setup, pins: parsePins(setup.pins ?? []) },
    clock: () => 1574000000,
    onPrint: (text) => printed.push(text),
  });
  faults = new FaultInjector(dials, { seed: 0, deviceId: id });
  return [];
}

function obey(order) {
  if (order.make) return make(order.make);
  if (order.type !== undefined) return device.typeLine(order.type);
  if (order.pin) return device.drive(...order.pin);
  return device.handle(order.api, Buffer.from(order.payload, "hex"));
}

for await (const line of createInterface({ input: process.stdin })) {
  const said = faults ? faults.spoil(obey(JSON.parse(line))) : obey(JSON.parse(line));
  const messages = said.map(({ api, payload, thenRestart }) => [api, payload.toString("hex"), thenRestart]);
  console.log(JSON.stringify({ messages, printed }));
  printed = [];
}
