/**
 * JSON read and printed exactly as Python's json module does, for answers must be the same bytes whoever simulates the device.
 *
 * JavaScript's own JSON forgets what that needs: whether 1 was 1.0, integers beyond 2^53, the order of keys that look like
 * numbers. Here an object is a Map, an integer a number (or a BigInt where it is too large for one), any other number a Float.
 */

const DEEPEST = 900; // Python gives up at about a thousand levels

/** A number that is no integer in Python's eyes: 1.0 is not 1. */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

/** Return the value that `text` says. Throws SyntaxError for what Python would not take. */
export function parse(text) {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.skipSpace();
  if (reader.at < text.length) throw new SyntaxError("there is more behind the value");
  return value;
}

/** Return `value` as json.dumps prints it: one space behind each colon and comma, ASCII alone. */
export function dumps(value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return quoted(value);
  if (value instanceof Float) return printedFloat(value.value);
  if (Array.isArray(value)) return `[${value.map(dumps).join(", ")}]`;
  if (typeof value !== "object") return String(value);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries.map(([key, one]) => `${quoted(key)}: ${dumps(one)}`).join(", ")}}`;
}

/** Return a number as Python's repr prints a float. */
export function printedFloat(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e");
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  const plain = String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

const SHORT = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b" };

function quoted(text) {
  const escaped = text.replace(/[^ !#-[\]-~]/g, (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `"${escaped}"`;
}

const WORDS = [["null", null], ["true", true], ["false", false], ["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]];
const NUMBER = /(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const STRING = /"((?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"/y;
const MOST_DIGITS = 4300; // of an integer, as Python has it

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  skipSpace() {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
  }

  /** Take one of `signs`, with the space around it; return it. */
  sign(signs) {
    this.skipSpace();
    const found = this.text[this.at];
    if (found === undefined || !signs.includes(found)) throw new SyntaxError(`expected one of ${signs}`);
    this.at += 1;
    return found;
  }

  value(depth) {
    if (depth > DEEPEST) throw new SyntaxError("too deep");
    this.skipSpace();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (!this.text.startsWith(word, this.at)) continue;
      this.at += word.length;
      return typeof value === "number" ? new Float(value) : value;
    }
    return this.number();
  }

  object(depth) {
    const found = new Map();
    this.at += 1;
    this.skipSpace();
    if (this.text[this.at] === "}") {
      this.at += 1;
      return found;
    }
    do {
      this.skipSpace();
      const key = this.string();
      this.sign(":");
      found.set(key, this.value(depth + 1));
    } while (this.sign(",}") === ",");
    return found;
  }

  array(depth) {
    const found = [];
    this.at += 1;
    this.skipSpace();
    if (this.text[this.at] === "]") {
      this.at += 1;
      return found;
    }
    do found.push(this.value(depth + 1));
    while (this.sign(",]") === ",");
    return found;
  }

  string() {
    return JSON.parse(this.match(STRING)[0]);
  }

  number() {
    const [all, whole, fraction, exponent] = this.match(NUMBER);
    if (fraction !== undefined || exponent !== undefined) return new Float(Number(all));
    if (whole.replace("-", "").length > MOST_DIGITS) throw new SyntaxError("too many digits");
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : BigInt(whole);
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) throw new SyntaxError("not JSON");
    this.at = pattern.lastIndex;
    return found;
  }
}
