/** The command line: the same as that of `python -m simulators.mqtt`. */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { SETUP, parsePins } from "./device.js";
import { FAULTS } from "./faults.js";
import { LINK_OPTIONS } from "./link.js";
import { fetchProfile, findProfile } from "./profiles.js";
import { PASSWORD_PORT, SettingsError, fromFiles, load, loadFleet } from "./settings.js";

export const HELP = `usage: node mqtt.js [--zip FILE ...] [--fleet FOLDER ...] [--id ID --ca FILE --cert FILE --key FILE] [options]

Simulated devices that speak the portal's protocol over MQTT with mutual TLS.

which devices:
  --zip FILE             a device's zip from the portal, or the folder it was unpacked to; may be repeated
  --fleet FOLDER         a folder of such zips and folders
  --id ID                one device by its files: needs --ca, and --cert and --key or --password-file
  --name NAME            what --id is called on the terminal
  --ca FILE --cert FILE --key FILE
  --password-file FILE   the device's password, in place of --cert and --key; port ${PASSWORD_PORT}
  --host HOST            broker, in place of the one in config.json
  --port PORT            broker's port (8883)

what the device is like:
  --profile SLUG|FILE    kind of device, in place of the one in its zip
  --portal URL           ask the portal for each device's profile as it is now
  --token TOKEN          an API token for --portal; better in the variable PORTAL_TOKEN
  --gpio N=in|out[:NAME] a wired pin; may be repeated
  --no-rtc               a board without a clock: never answers get_rtc and set_rtc
  --rtc-offset-s S       how wrong its clock is at first
  --rtc-drift-s-per-h S  seconds that its clock gains an hour; below 0: loses
  --keyword TEXT         text on the UART that raises a notification (${SETUP.keyword})
  --recipient TEXT       stored recipient of notifications
  --message TEXT         stored message of notifications
  --presence             last will and presence also for a profile without them
  --protocol NAME        MQTT (3.1.1), or MQIsdp (3.1) as old clients connect
  --mqtt31               the same as --protocol MQIsdp
  --keepalive-s S        MQTT keepalive (${LINK_OPTIONS.keepaliveS})
  --reboot-s S           how long a restart takes (${LINK_OPTIONS.rebootS})
  --deaf-ms MS           ft900: how long it stays deaf after an answer (a fifth of settle_s)

bad days (probabilities are 0 to 1, for each message):
  --delay-ms MS          answer so much later
  --jitter-ms MS         and up to so much later still
  --loss P               do not answer
  --duplicate P          answer twice
  --wrong-pin P          answer for the next pin
  --malformed P          answer with broken JSON
  --reboot P             lose power in place of answering, for each command
  --seed N               repeats the same luck (0)

  -q, --quiet            show troubles only
  --console              read the device's UART lines from stdin even when it is no terminal
  --once-refused-exit    exit with code 3 when the broker refuses the device
  -h, --help
`;

const TEXT = { type: "string" };
const TEXTS = { type: "string", multiple: true, default: [] };
const FLAG = { type: "boolean", default: false };
const KNOWN = {
  zip: TEXTS, fleet: TEXTS, id: TEXT, name: TEXT, ca: TEXT, cert: TEXT, key: TEXT, "password-file": TEXT, host: TEXT, port: TEXT,
  profile: TEXT, portal: TEXT, token: TEXT, gpio: TEXTS, "no-rtc": FLAG, "rtc-offset-s": TEXT, "rtc-drift-s-per-h": TEXT,
  keyword: TEXT, recipient: TEXT, message: TEXT, presence: FLAG, protocol: TEXT, mqtt31: FLAG, "keepalive-s": TEXT,
  "reboot-s": TEXT, "deaf-ms": TEXT, "delay-ms": TEXT, "jitter-ms": TEXT, loss: TEXT, duplicate: TEXT, "wrong-pin": TEXT,
  malformed: TEXT, reboot: TEXT, seed: TEXT, quiet: { ...FLAG, short: "q" }, console: FLAG, "once-refused-exit": FLAG,
  help: { ...FLAG, short: "h" },
};

/** What the command line says cannot be used. */
export class UsageError extends Error {}

/** Return what `words` say: the options of the process, checked. Throws UsageError. */
export function parseOptions(words) {
  let given;
  try {
    given = parseArgs({ args: words, options: KNOWN, strict: true }).values;
  } catch (error) {
    throw new UsageError(error.message);
  }
  const number = (name, isGood, words_) => {
    if (given[name] === undefined) return undefined;
    const value = given[name].trim() === "" ? NaN : Number(given[name]);
    if (!Number.isFinite(value) || !isGood(value)) throw new UsageError(`argument --${name}: ${words_}`);
    return value;
  };
  const time = (name) => number(name, (value) => value >= 0, "must not be negative");
  const chance = (name) => number(name, (value) => value >= 0 && value <= 1, "a probability is 0 to 1");
  const whole = (name, words_) => number(name, (value) => Number.isInteger(value) && value > 0 && value < 65536, words_);
  const finite = (name) => number(name, () => true, "must be a finite number");
  const { keyword, recipient, message } = given;
  return {
    ...given,
    port: whole("port", "a port is 1 to 65535"),
    link: filled(LINK_OPTIONS, {
      protocol: protocol(given),
      presence: given.presence || undefined,
      keepaliveS: whole("keepalive-s", "a keepalive is 1 to 65535 seconds"),
      rebootS: time("reboot-s"),
      deafMs: time("deaf-ms"),
    }),
    setup: filled(SETUP, {
      keyword, recipient, message,
      hasRtc: !given["no-rtc"],
      rtcOffsetS: finite("rtc-offset-s"),
      rtcDriftSPerH: finite("rtc-drift-s-per-h"),
      pins: pins(given.gpio),
    }),
    faults: filled(FAULTS, {
      delayMs: time("delay-ms"),
      jitterMs: time("jitter-ms"),
      loss: chance("loss"),
      duplicate: chance("duplicate"),
      wrongPin: chance("wrong-pin"),
      malformed: chance("malformed"),
      reboot: chance("reboot"),
    }),
    seed: number("seed", Number.isInteger, "must be a whole number") ?? 0,
  };
}

/** Return the settings of all devices that the options name. Throws SettingsError and ProfileProblem. */
export async function namedDevices(options) {
  const read = (path) => (path === undefined ? undefined : content(path));
  const password = readPassword(options["password-file"]);
  const overrides = {
    host: options.host,
    port: options.port ?? (password ? PASSWORD_PORT : undefined),
    profile: options.profile === undefined ? undefined : findProfile(options.profile),
    ca: read(options.ca),
    certificate: read(options.cert),
    key: read(options.key),
    password,
  };
  const found = options.zip.map((path) => load(path, overrides));
  for (const folder of options.fleet) found.push(...loadFleet(folder, overrides));
  if (options.id) found.push(fromFiles(options.id, options.name, overrides));
  if (found.length > 1 && (options.cert || options.key || password)) {
    throw new SettingsError("--cert, --key and --password-file are one device's: give them with one device only");
  }
  if (new Set(found.map((settings) => settings.deviceId)).size < found.length) {
    throw new SettingsError("the same device is given twice; only one connection of a device can be open");
  }
  if (!options.portal) return found;
  const token = options.token ?? process.env.PORTAL_TOKEN ?? "";
  const asked = found.map(async (one) => ({ ...one, profile: await fetchProfile(options.portal, token, one.deviceId) }));
  return Promise.all(asked);
}

function filled(usual, given) {
  return { ...usual, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

function protocol(given) {
  if (given.mqtt31) return "MQIsdp";
  if (given.protocol !== undefined && !["MQTT", "MQIsdp"].includes(given.protocol)) {
    throw new UsageError("argument --protocol: it is MQTT or MQIsdp");
  }
  return given.protocol;
}

function pins(words) {
  try {
    return parsePins(words);
  } catch (error) {
    throw new UsageError(error.message);
  }
}

function content(path) {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SettingsError(`${path} cannot be read: ${error.message}`);
  }
}

/** Return the password in a file; on the command line everybody on this machine could read it. */
function readPassword(path) {
  if (path === undefined) return undefined;
  const password = content(path).toString("utf8").trim();
  if (password === "") throw new SettingsError(`${path} is empty: it must hold the password that the portal showed`);
  return password;
}
