#!/usr/bin/env node
/** Simulated devices on a broker: `node mqtt.js --zip greenhouse-pump.zip`. */

import { createInterface } from "node:readline";
import { Device } from "./device.js";
import { Terminal } from "./console.js";
import { FaultInjector } from "./faults.js";
import { Link, newCounts } from "./link.js";
import { HELP, UsageError, namedDevices, parseOptions } from "./options.js";
import { ProfileProblem } from "./profiles.js";
import { SettingsError } from "./settings.js";

const EXIT_SETTINGS = 2;
const EXIT_REFUSED = 3;
// More devices than this and their messages would only run past.
const SHOW_TRAFFIC_UP_TO = 10;
const SUMMARY_EVERY_MS = 5000;

const CONSOLE_HELP = `\
iot set message "..." recipient "..."      store what a notification says, and to whom
iot send [message "..."] [recipient "..."] raise a notification
iot gpio N enable dir in|out pull none|up|down edge none|rising|falling|both
iot gpio N write 0|1 | iot gpio N disable
pin N 0|1                                  the world outside puts a level on pin N
say API                                    say an event that the profile declares
@NAME line                                 the same for another device of this process
quit`;

/** N simulated devices in one process. */
class Fleet {
  constructor(devices, options, terminal) {
    this.terminal = terminal;
    this.exitCode = 0;
    this.shared = { terminal, options: options.link, counts: newCounts() };
    this.links = devices.map((settings) => this.link(settings, options));
  }

  link(settings, options) {
    const device = new Device(settings.deviceId, {
      name: settings.name,
      profile: settings.profile,
      setup: options.setup,
      onPrint: (text) => this.terminal.uart(settings.name, text),
    });
    const faults = new FaultInjector(options.faults, { seed: options.seed, deviceId: settings.deviceId });
    const onRefused = options["once-refused-exit"] ? (link) => this.refused(link) : undefined;
    return new Link(settings, device, faults, this.shared, onRefused);
  }

  /** Keep all devices connected until `stop()`; return the exit code. */
  async run() {
    this.watch();
    const summary = this.summarise();
    await Promise.all(this.links.map((link) => link.run()));
    clearInterval(summary);
    return this.exitCode;
  }

  /** Have all devices say goodbye, and `run()` return. */
  stop() {
    for (const link of this.links) link.stop();
  }

  refused(link) {
    this.terminal.trouble(link.device.name, String(link.refusal));
    this.exitCode = EXIT_REFUSED;
    this.stop();
  }

  /** Obey a line of the terminal; see CONSOLE_HELP. */
  typeLine(typed) {
    const { link, line } = this.addressed(typed.trim());
    const words = line.split(/\s+/);
    const [verb, number, level] = words;
    if (line === "") return;
    if (verb === "quit" || verb === "exit") this.stop();
    else if (verb === "help") console.log(CONSOLE_HELP);
    else if (words.length === 3 && verb === "pin" && /^[0-9]+$/.test(number) && Number(number) < 256 && /^[01]$/.test(level)) {
      link.send(link.device.drive(Number(number), Number(level)));
    } else if (words.length === 2 && verb === "say") link.send(link.device.say(number));
    else link.send(link.device.typeLine(line));
  }

  addressed(line) {
    if (!line.startsWith("@")) return { link: this.links[0], line };
    const [, name, rest] = line.match(/^@(\S*)\s*(.*)$/);
    const link = this.links.find(({ device, settings }) => name === device.name || name === settings.deviceId);
    if (link !== undefined) return { link, line: rest };
    this.terminal.trouble("simulator", `no device here is named ${name}`);
    return { link: this.links[0], line: "" };
  }

  async watch() {
    const began = Date.now();
    await Promise.all(this.links.map((link) => link.heard));
    const tookS = ((Date.now() - began) / 1000).toFixed(1);
    if (this.links.length > 1) this.terminal.note(`all ${this.links.length} devices are connected (${tookS} s)`);
  }

  /** Where messages are not shown one by one: a line of figures now and then, when something happened. */
  summarise() {
    if (this.links.length <= SHOW_TRAFFIC_UP_TO) return undefined;
    let before = "";
    return setInterval(() => {
      const now = Object.entries(this.shared.counts).map(([name, count]) => `${count} ${name}`).join(", ");
      if (now !== before) this.terminal.note(now);
      before = now;
    }, SUMMARY_EVERY_MS);
  }
}

/** Run the devices the command line names; return the exit code. */
async function main(words) {
  let options;
  let devices;
  try {
    options = parseOptions(words);
    if (options.help) {
      process.stdout.write(HELP);
      return 0;
    }
    devices = await namedDevices(options);
    if (devices.length === 0) throw new UsageError("name a device: --zip FILE, --fleet FOLDER, or --id with its files");
  } catch (error) {
    if (![UsageError, SettingsError, ProfileProblem].some((kind) => error instanceof kind)) throw error;
    console.error(`mqtt.js: ${error.message}`);
    return EXIT_SETTINGS;
  }
  const terminal = new Terminal({ quiet: options.quiet, traffic: devices.length <= SHOW_TRAFFIC_UP_TO });
  const fleet = new Fleet(devices, options, terminal);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => fleet.stop());
  if (options.console || process.stdin.isTTY) {
    terminal.note('type "help" for what the device understands');
    createInterface({ input: process.stdin, terminal: false }).on("line", (line) => fleet.typeLine(line));
  }
  return fleet.run();
}

process.exit(await main(process.argv.slice(2)));
