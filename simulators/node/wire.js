/** Commands read and answers printed, the way each kind of firmware does it. No I/O. The twin of wire.py. */

import { Float, dumps, parse, printedFloat } from "./python_json.js";
import { textBytes } from "./profiles.js";

// What fits the 32-bit integers of a small board, signed or unsigned (an RTC counts to 2106).
const SMALLEST_NUMBER = -(2 ** 31);
const LARGEST_NUMBER = 2 ** 32 - 1;

/** A command this device cannot obey: `code` for programs, the message for people. */
export class CommandError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Return the values of a command as `profile` reads them; a small buffer cuts what does not fit. `payload`: a Buffer. */
export function readCommand(profile, payload) {
  if (!profile.string_search) return new JsonArguments(payload);
  return new SearchedArguments(payload.subarray(0, profile.payload_limit_bytes ?? payload.length));
}

/** Return the answer's bytes: json.dumps as it comes, or printf with the buffer's size. */
export function printAnswer(profile, fields) {
  if (!profile.string_search) return Buffer.from(dumps(fields), "ascii");
  const printed = Object.entries(fields).map(([key, value]) => `"${key}": ${printf(value)}`);
  const bytes = Buffer.from(`{${printed.join(", ")}}`, "latin1");
  return bytes.subarray(0, profile.answer_limit_bytes ?? bytes.length);
}

/**
 * Return `text` as this kind of device keeps it. The smallest firmware knows no characters, only bytes, and gives strange ones
 * back unchanged: its texts are strings of one character a byte.
 */
export function inMemory(profile, text) {
  return profile.string_search ? Buffer.from(text, "utf8").toString("latin1") : text;
}

/** Return a text that a device keeps as people read it. */
export function readable(profile, text) {
  return profile.string_search ? Buffer.from(text, "latin1").toString("utf8") : text;
}

/** Return `text` as far as it fits the profile's recipient and message buffers. */
export function cutText(profile, text) {
  const most = textBytes(profile);
  if (most === undefined) return text;
  return profile.string_search ? text.slice(0, most) : Buffer.from(text, "utf8").subarray(0, most).toString("utf8");
}

/** Return the decimal number written in `text` (at most ten ASCII digits), or undefined. */
export function wholeNumber(text) {
  return /^-?[0-9]{1,10}$/.test(text) ? within(Number(text)) : undefined;
}

function within(number) {
  return number >= SMALLEST_NUMBER && number <= LARGEST_NUMBER ? number : undefined;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Values of a proper JSON object. */
class JsonArguments {
  constructor(payload) {
    let parsed = null;
    try {
      parsed = parse(UTF8.decode(payload));
    } catch {
      // Not JSON: whoever reports errors says so, the others are silent.
    }
    this.isReadable = parsed instanceof Map;
    this.fields = this.isReadable ? parsed : new Map();
    this.commandId = this.fields.get("id") ?? undefined;
  }

  requireReadable() {
    if (!this.isReadable) throw new CommandError("bad_request", "the command is not a JSON object");
  }

  /** Return the whole number under `key`; text of digits counts. */
  number(key) {
    const found = this.fields.get(key);
    if (typeof found === "string") return wholeNumber(found);
    return typeof found === "number" ? within(found) : undefined;
  }

  text(key) {
    const found = this.fields.get(key);
    return typeof found === "string" ? found : undefined;
  }

  /** Return the value under the field's name, if it has the field's type. */
  value(field) {
    if (field.type === "integer") return this.number(field.name);
    const found = this.fields.get(field.name);
    return typeOf(found) === field.type ? found : undefined;
  }
}

function typeOf(value) {
  if (value instanceof Map) return "object";
  if (Array.isArray(value)) return "array";
  if (value instanceof Float || typeof value === "bigint") return "number";
  return typeof value;
}

/** Values found by string search: one space after the colon, or nothing is found. */
class SearchedArguments {
  constructor(payload) {
    this.payload = payload.toString("latin1");
    this.commandId = undefined;
  }

  /** This firmware looks for its values and for nothing else. */
  requireReadable() {}

  /** Return the digits after `"key": `, quoted or not. */
  number(key) {
    const found = this.payload.match(new RegExp(`"${key}": "?(-?[0-9]{1,10})`));
    return found ? within(Number(found[1])) : undefined;
  }

  /** Return the text after `"key": "` up to its quote, or to the end of what fitted the buffer. */
  text(key) {
    const found = this.payload.match(new RegExp(`"${key}": "((?:[^"\\\\]|\\\\.)*)`, "s"));
    return found ? found[1].replaceAll('\\"', '"') : undefined;
  }

  /** Return what stands after the field's name, as far as such firmware can read it. */
  value(field) {
    if (field.type === "string") return this.text(field.name);
    if (field.type === "integer") return this.number(field.name);
    const found = this.payload.match(new RegExp(`"${field.name}": (true|false|-?[0-9]{1,10}(?:\\.[0-9]{1,6})?)`));
    if (found === null) return undefined;
    const isWord = found[1] === "true" || found[1] === "false";
    if (field.type === "boolean") return isWord ? found[1] === "true" : undefined;
    return field.type === "number" && !isWord ? new Float(Number(found[1])) : undefined;
  }
}

/** Print a value as printf does: quotes in a text stay as they are. */
function printf(value) {
  if (typeof value === "string") return `"${value}"`;
  return value instanceof Float ? printedFloat(value.value) : dumps(value);
}
