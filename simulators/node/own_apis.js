/** The apis that a profile declares beside the documented ones: answered by their fields alone, with a memory. No I/O. */

import { createHash } from "node:crypto";
import { Float } from "./python_json.js";
import { CommandError } from "./wire.js";

// What is usual where a field names a unit and no bounds.
const USUAL = {
  "%": [20, 80], "°C": [18, 26], "°F": [64, 79], K: [291, 299], V: [3.2, 3.4], mV: [3200, 3400], A: [0.1, 0.6],
  mA: [20, 180], W: [1, 9], hPa: [985, 1030], bar: [0.9, 1.6], lx: [80, 900], ppm: [400, 900], s: [1, 60],
  ms: [5, 120], l: [5, 40], m: [0.2, 3], cm: [10, 200], mm: [100, 900], rpm: [600, 2400], dBm: [-80, -50],
};
const PERIOD_S = 600;

/**
 * What one device knows of its own apis. A set is remembered under its subject (`set_fan` is fan, with the number where there
 * is one), and a get of the same subject says what was set; what nobody has set is believable and wanders slowly.
 */
export class OwnApis {
  constructor(who, clock) {
    this.who = who;
    this.clock = clock;
    this.forget();
  }

  /** Return the fields of the answer to a command. Throws CommandError where an argument is missing or not possible. */
  answer(api, given) {
    const values = {};
    for (const field of api.fields ?? []) {
      const value = read(field, given);
      if (value !== undefined) values[field.name] = value;
    }
    const subject = api.name.replace(/^[gs]et_/, "");
    const key = Object.hasOwn(values, "number") ? `${subject}/${values.number}` : subject;
    if (api.kind === "set") this.set.set(key, { ...this.set.get(key), ...values });
    return inOrder(api, { ...this.set.get(key), ...values }, `${this.who}/${key}`, this.clock());
  }

  /** Return the fields of something that the device says by itself. */
  event(api) {
    return inOrder(api, {}, `${this.who}/${api.name}`, this.clock());
  }

  /** Lose what was set, as after a reboot. */
  forget() {
    this.set = new Map();
  }
}

/** Return a field's value, undefined where it was left out. Throws CommandError. */
function read(field, given) {
  const value = given.value(field);
  if (value === undefined) {
    if (field.required ?? true) throw new CommandError("bad_request", `${field.name} must be given as ${field.type}`);
    return undefined;
  }
  const plain = value instanceof Float ? value.value : value;
  if (field.choices?.length && !field.choices.includes(plain)) {
    throw new CommandError("bad_request", `${field.name} must be one of ${field.choices.join(", ")}`);
  }
  if (typeof plain === "number" || typeof plain === "bigint") {
    const [low, high] = [field.minimum ?? null, field.maximum ?? null];
    if ((low !== null && plain < low) || (high !== null && plain > high)) {
      const words = [low, high].map((bound) => bound ?? "None");
      throw new CommandError("bad_request", `${field.name} must be from ${words[0]} to ${words[1]}`);
    }
  }
  return value;
}

/** Return the answer to `given`: what it repeats as it was given, the rest believable, `number` first and `value` last. */
function inOrder(api, given, who, at) {
  const fields = {};
  for (const field of api.answer ?? []) {
    fields[field.name] = Object.hasOwn(given, field.name) ? given[field.name] : believable(field, who, at);
  }
  for (const name of api.echo ?? []) if (Object.hasOwn(given, name)) fields[name] = given[name];
  const { number, value, ...others } = fields;
  return { ...(number === undefined ? {} : { number }), ...others, ...(value === undefined ? {} : { value }) };
}

/** Return what a sensor would say for `field` at the time `at` (seconds): it wanders slowly, differently for each `who`. */
function believable(field, who, at) {
  const chance = chanceOf(`${who}/${field.name}`);
  if (field.choices?.length) return field.choices[Math.floor(chance * field.choices.length)];
  if (field.format === "epoch") return Math.trunc(at);
  if (field.type === "integer" || field.type === "number") {
    const [low, high] = usualRange(field);
    const middle = low + (high - low) * (0.3 + 0.4 * chance);
    const value = middle + (high - low) * 0.2 * Math.sin((at / PERIOD_S) * 2 * Math.PI + chance * 2 * Math.PI);
    if (field.type === "integer") return Math.round(value);
    return new Float(Math.min(Math.max(Number(value.toFixed(2)), low), high));
  }
  return other(field, chance);
}

/** Return what is usual for the unit, as far as it is possible for the field. */
function usualRange(field) {
  const [low, high] = USUAL[field.unit] ?? [0, 100];
  const [floor, ceiling] = [field.minimum ?? -Infinity, field.maximum ?? Infinity];
  if (Math.max(low, floor) < Math.min(high, ceiling)) return [Math.max(low, floor), Math.min(high, ceiling)];
  if (floor === -Infinity) return [ceiling - 100, ceiling];
  return [floor, ceiling === Infinity ? floor + 100 : ceiling];
}

function other(field, chance) {
  if (field.type === "boolean") return chance >= 0.5;
  if (field.type === "array") return [];
  if (field.type === "object") return {};
  const formatted = { mac: "02:00:00:00:00:01", ipv4: "192.168.100.5", recipient: "ops@example.com" };
  return (formatted[field.format] ?? "hello").padEnd(field.min_bytes ?? 0, ".").slice(0, field.max_bytes ?? undefined);
}

/** Return a number from 0 to 1 that is always the same for the same text. */
function chanceOf(text) {
  return createHash("sha256").update(text, "utf8").digest().readUIntBE(0, 6) / 2 ** 48;
}
