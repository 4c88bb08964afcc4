/** A simulated device without any I/O: commands in, messages out, state in between. The twin of device.py. */

import { createHash } from "node:crypto";
import { GrammarError, HIGHEST_PIN, parseLine } from "./grammar.js";
import { OwnApis } from "./own_apis.js";
import { isDocumented } from "./profiles.js";
import { CommandError, cutText, inMemory, printAnswer, readCommand, readable } from "./wire.js";

const MAC = /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/;

/** What a device is made with. `pins`: Map of number to pin; `rtcDriftSPerH` undefined: next to none, different for each device. */
export const SETUP = {
  keyword: "ALARM",
  recipient: "",
  message: "Something happened here",
  hasRtc: true,
  rtcOffsetS: 0,
  rtcDriftSPerH: undefined,
  pins: new Map(),
};

function newPin() {
  return { direction: "in", pull: "none", edge: "none", level: 0, enabled: false, wired: false, name: "" };
}

/**
 * A device of the protocol. What it says is a list of messages `{api, payload, thenRestart}` for `server/{id}/{api}`;
 * `payload` is a Buffer. `onPrint` is called with every line that it prints on its UART, `clock` gives seconds since 1970.
 */
export class Device {
  constructor(deviceId, { name = "", profile, setup = {}, clock = () => Date.now() / 1000, onPrint = () => {} }) {
    this.deviceId = deviceId;
    this.name = name || deviceId.slice(0, 8);
    this.profile = profile;
    this.setup = { ...SETUP, ...setup };
    this.clock = clock;
    this.onPrint = onPrint;
    const keep = (text) => inMemory(profile, text);
    this.recipient = cutText(profile, keep(this.setup.recipient));
    this.message = cutText(profile, keep(this.setup.message));
    this.keyword = keep(this.setup.keyword);
    const digest = createHash("sha256").update(deviceId, "utf8").digest();
    // 02: a locally administered address, so that no maker's is borrowed.
    this.mac = [2, ...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
    this.ip = `192.168.100.${2 + (digest[5] % 253)}`;
    this.subnet = "255.255.255.0";
    this.gateway = "192.168.100.1";
    this.rtcRate = 1 + (this.setup.rtcDriftSPerH ?? ((digest[6] % 41) - 20) * 0.0036) / 3600; // up to 20 ppm
    this.rtcAnchor = [clock(), clock() + this.setup.rtcOffsetS];
    this.own = new OwnApis(deviceId, clock);
    this.powerUpPins();
  }

  // -- what comes in ---------------------------------------------------------------------------

  /** Return what the device says to the command `{id}/{api}`; nothing for one it stays silent to. Never throws. */
  handle(api, payload) {
    const given = readCommand(this.profile, payload);
    try {
      if (this.profile.errors) given.requireReadable();
      const declared = this.profile.apis[api];
      if (declared === undefined || declared.kind === "event") {
        throw new CommandError("unknown_api", `this device has no api named ${shortened(api)}`);
      }
      const handler = isDocumented(this.profile, api) ? HANDLERS[api] : answerOwn;
      return handler(this, api, given);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return this.refuse(api, given, error);
    }
  }

  /** Return an event of the device's own, with believable values; it prints what it does not know. */
  say(api) {
    const declared = this.profile.apis[api];
    if (declared?.kind === "event") return [this.outgoing(api, this.own.event(declared))];
    this.print(`ERROR the profile ${this.profile.slug} has no event named ${shortened(api)}`);
    return [];
  }

  /** Obey a line typed on the device's own UART; it prints OK or what it did not understand. */
  typeLine(line) {
    let statement;
    try {
      statement = parseLine(line);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      this.print(inMemory(this.profile, `ERROR ${error.message}`));
      return [];
    }
    const said = this.obey(statement);
    this.print("OK");
    return said;
  }

  /** Let the world outside put `level` on a pin; an edge its interrupt waits for raises a notification. */
  drive(number, level) {
    const pin = this.pin(number);
    const was = pin.level;
    pin.level = level;
    const edges = level > was ? ["rising", "both"] : level < was ? ["falling", "both"] : [];
    return pin.enabled && edges.includes(pin.edge) ? this.raiseNotification() : [];
  }

  /** Return a `trigger_notification` of the device's own, with the stored values where none is given. */
  raiseNotification(message = this.message, recipient = this.recipient) {
    const to = cutText(this.profile, recipient);
    if (to === "") {
      this.print('ERROR no recipient is stored: iot set recipient "..."');
      return [];
    }
    return [this.outgoing("trigger_notification", { recipient: to, message: cutText(this.profile, message) })];
  }

  /** Come up again as after a reboot: pins are new; clock, addresses and stored texts stay. */
  restart() {
    this.own.forget();
    this.powerUpPins();
  }

  // -- state -----------------------------------------------------------------------------------

  /** Seconds since 1970 by the device's own clock, with its offset and drift. */
  get rtc() {
    const [at, showed] = this.rtcAnchor;
    return Math.trunc(showed + (this.clock() - at) * this.rtcRate);
  }

  /** Print on the device's UART. */
  print(text) {
    this.onPrint(readable(this.profile, text));
  }

  powerUpPins() {
    this.pins = new Map([...this.setup.pins].map(([number, pin]) => [number, { ...pin, wired: true }]));
  }

  pin(number) {
    if (!this.pins.has(number)) this.pins.set(number, newPin());
    return this.pins.get(number);
  }

  pinNumber(api, given) {
    const number = given.number("number");
    const { minimum, maximum } = this.profile.apis[api].fields[0];
    const [low, high] = [minimum ?? 0, maximum ?? HIGHEST_PIN];
    if (number === undefined || number < low || number > high) {
      throw new CommandError("bad_request", `number must be a pin from ${low} to ${high}`);
    }
    return number;
  }

  obey(statement) {
    const text = (value) => (value === undefined ? undefined : inMemory(this.profile, value));
    const [message, recipient] = [text(statement.message), text(statement.recipient)];
    if (statement.verb === "send") return this.raiseNotification(message, recipient);
    if (statement.verb === "write") return this.writePin(statement.number, statement.level);
    if (statement.verb === "set") {
      if (message !== undefined) this.message = cutText(this.profile, message);
      if (recipient !== undefined) this.recipient = cutText(this.profile, recipient);
      return [];
    }
    const pin = this.pin(statement.number);
    if (statement.verb === "disable") {
      Object.assign(pin, { edge: "none", pull: "none", enabled: false });
      return [];
    }
    Object.assign(pin, { direction: statement.dir, pull: statement.pull, edge: statement.edge, enabled: true });
    if (pin.direction === "in") pin.level = pin.pull === "up" ? 1 : 0;
    return [];
  }

  writePin(number, level) {
    const pin = this.pin(number);
    // An enabled or wired pin keeps its direction: the write then stands for the wire outside.
    if (!pin.enabled && !pin.wired) pin.direction = "out";
    return this.drive(number, level);
  }

  // -- what goes out ---------------------------------------------------------------------------

  outgoing(api, fields) {
    return { api, payload: printAnswer(this.profile, fields), thenRestart: false };
  }

  /** Return the answer: `number` first, the command's id next where the profile echoes it, `value` last. */
  answer(api, given, fields) {
    if (!this.profile.echo_id || given.commandId === undefined) return this.outgoing(api, fields);
    const { number, ...rest } = fields;
    const first = number === undefined ? {} : { number };
    return this.outgoing(api, { ...first, id: given.commandId, ...rest });
  }

  refuse(api, given, { code, message }) {
    if (!this.profile.errors) return [];
    const isNumbered = (this.profile.apis[api]?.fields ?? []).some((field) => field.name === "number");
    const number = isNumbered ? given.number("number") : undefined;
    return [this.answer(api, given, { ...(number === undefined ? {} : { number }), error: { code, message } })];
  }
}

/** Return the pins described as `NUMBER=in|out[:NAME]`, e.g. `2=in:door`. Throws RangeError, in words. */
export function parsePins(words) {
  const pins = new Map();
  for (const word of words) {
    const found = word.match(/^([0-9]{1,3})=(in|out)(?::(.{1,40}))?$/);
    if (found === null || Number(found[1]) > HIGHEST_PIN) {
      throw new RangeError(`a pin is given as NUMBER=in or NUMBER=out, with :NAME after it if you like; not '${word}'`);
    }
    pins.set(Number(found[1]), { ...newPin(), direction: found[2], name: found[3] ?? "", wired: true });
  }
  return pins;
}

function shortened(api) {
  return [...api].slice(0, 64).join("");
}

// -- the apis ------------------------------------------------------------------------------------

function answerOwn(device, api, given) {
  return [device.answer(api, given, device.own.answer(device.profile.apis[api], given))];
}

function getStatus(device, api, given) {
  return [device.answer(api, given, { value: "running" })];
}

function setStatus(device, api, given) {
  if (given.text("value") !== "restart") throw new CommandError("bad_request", 'value must be "restart"');
  return [{ ...device.answer(api, given, { value: "restarting" }), thenRestart: true }];
}

function getGpio(device, api, given) {
  const number = device.pinNumber(api, given);
  return [device.answer(api, given, { number, value: device.pin(number).level })];
}

function setGpio(device, api, given) {
  const [number, level] = [device.pinNumber(api, given), given.number("value")];
  if (level !== 0 && level !== 1) throw new CommandError("bad_request", "value must be 0 or 1");
  const pin = device.pin(number);
  if (pin.wired && pin.direction === "in" && device.profile.errors) {
    throw new CommandError("pin_is_input", `pin ${number} is an input`);
  }
  const raised = device.writePin(number, level);
  return [device.answer(api, given, { number, value: level }), ...raised];
}

function getRtc(device, api, given) {
  return device.setup.hasRtc ? [device.answer(api, given, { value: device.rtc })] : [];
}

function setRtc(device, api, given) {
  if (!device.setup.hasRtc) return [];
  const epoch = given.number("value");
  if (epoch === undefined || epoch < 0) throw new CommandError("bad_request", "value must be seconds since 1970");
  device.rtcAnchor = [device.clock(), epoch];
  return [device.answer(api, given, { value: epoch })];
}

function setMac(device, api, given) {
  const mac = given.text("value");
  if (mac === undefined || !MAC.test(mac)) {
    throw new CommandError("bad_request", "value must be six bytes like 00:c0:ca:90:61:05");
  }
  device.mac = mac;
  return [device.answer(api, given, { value: mac })];
}

function getAddress(device, api, given) {
  return [device.answer(api, given, { value: device[api.slice("get_".length)] })];
}

function writeUart(device, api, given) {
  const text = given.text("value");
  if (text === undefined) throw new CommandError("bad_request", "value must be a text");
  device.print(text);
  const answer = device.answer(api, given, { value: text });
  const isKeyword = device.keyword !== "" && text.includes(device.keyword);
  return isKeyword ? [answer, ...device.raiseNotification()] : [answer];
}

function triggerNotification(device, api, given) {
  const [asked, said] = [given.text("recipient"), given.text("message")];
  if (asked === undefined || said === undefined) {
    throw new CommandError("bad_request", "recipient and message must be texts");
  }
  const [recipient, message] = [cutText(device.profile, asked), cutText(device.profile, said)];
  if (recipient === device.deviceId) {
    device.print(`NOTIFICATION ${message}`);
    return [];
  }
  return [device.answer(api, given, { recipient, message })];
}

const HANDLERS = {
  get_status: getStatus,
  set_status: setStatus,
  get_gpio: getGpio,
  set_gpio: setGpio,
  get_rtc: getRtc,
  set_rtc: setRtc,
  get_mac: getAddress,
  set_mac: setMac,
  get_ip: getAddress,
  get_subnet: getAddress,
  get_gateway: getAddress,
  write_uart: writeUart,
  trigger_notification: triggerNotification,
};
