/**
 * The lines a person types on a device's own UART (stand-alone use). Parsing only, no I/O. The twin of grammar.py.
 *
 *   iot set message "..." recipient "..."
 *   iot send [message "..."] [recipient "..."]
 *   iot gpio N enable dir in|out pull none|up|down edge none|rising|falling|both
 *   iot gpio N write 0|1
 *   iot gpio N disable
 */

export const HIGHEST_PIN = 255;
const CHOICES = { dir: ["in", "out"], pull: ["none", "up", "down"], edge: ["none", "rising", "falling", "both"] };
const TOKEN = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))/y;

/** A line the device does not understand; the message says what it wants instead. */
export class GrammarError extends Error {}

/** Return what a typed line asks for: `{verb: "set" | "send" | "enable" | "write" | "disable", ...}`. Throws GrammarError. */
export function parseLine(line) {
  const [iot, verb, ...rest] = split(line);
  if (iot !== "iot") throw new GrammarError("a command begins with iot: iot set, iot send or iot gpio");
  if (verb === "set") {
    const { message, recipient } = options(rest, ["message", "recipient"]);
    if (message === undefined && recipient === undefined) throw new GrammarError('iot set message "..." recipient "..."');
    return { verb, message, recipient };
  }
  if (verb === "send") return { verb, ...options(rest, ["message", "recipient"]) };
  if (verb === "gpio") return gpio(rest);
  throw new GrammarError("iot knows set, send and gpio");
}

/** Return the words of a line; text in double quotes is one word, and a backslash in it takes what follows as it is. */
function split(line) {
  const words = [];
  const text = line.trim();
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (found === null) throw new GrammarError("a quote is not closed");
    words.push(found[2] ?? found[1].replace(/\\(.)/g, "$1"));
  }
  return words;
}

/** Return `name value` pairs; each name once, in any order. */
function options(words, allowed) {
  const found = {};
  for (let index = 0; index < words.length; index += 2) {
    const name = words[index];
    if (!allowed.includes(name)) throw new GrammarError(`${name}? here one may say: ${allowed.join(", ")}`);
    if (name in found) throw new GrammarError(`${name} is given twice`);
    if (index + 1 === words.length) throw new GrammarError(`${name} needs a value`);
    found[name] = words[index + 1];
  }
  return found;
}

function gpio(words) {
  if (words.length < 2) throw new GrammarError("iot gpio N enable|write|disable");
  const number = pinNumber(words[0]);
  const [, verb, ...rest] = words;
  if (verb === "enable") {
    const { dir = "in", pull = "none", edge = "none" } = options(rest, ["dir", "pull", "edge"]);
    for (const [name, word] of Object.entries({ dir, pull, edge })) requireOneOf(name, word);
    return { verb, number, dir, pull, edge };
  }
  if (verb === "write" && rest.length === 1 && ["0", "1"].includes(rest[0])) return { verb, number, level: Number(rest[0]) };
  if (verb === "write") throw new GrammarError("iot gpio N write 0, or 1");
  if (verb === "disable" && rest.length === 0) return { verb, number };
  throw new GrammarError("iot gpio N enable|write|disable");
}

function pinNumber(word) {
  if (!/^[0-9]{1,3}$/.test(word) || Number(word) > HIGHEST_PIN) {
    throw new GrammarError(`a pin's number is 0 to ${HIGHEST_PIN}, not ${word}`);
  }
  return Number(word);
}

function requireOneOf(name, word) {
  const allowed = CHOICES[name];
  if (allowed.includes(word)) return;
  throw new GrammarError(`${name} is ${allowed.slice(0, -1).join(", ")} or ${allowed.at(-1)}, not ${word}`);
}
