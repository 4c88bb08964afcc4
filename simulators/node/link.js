/** One simulated device on its broker: connects, answers, reboots, comes back. The twin of link.py. */

import mqtt from "mqtt";
import { setTimeout as sleep } from "node:timers/promises";
import { HUNG_UP_EARLY, LOST, SILENT_BROKER, SUBSCRIPTION_REFUSED, TAKEN_OVER, explain } from "./diagnosis.js";
import { deafMs } from "./profiles.js";

const CONNECT_TIMEOUT_MS = 10_000;
const GOODBYE_TIMEOUT_MS = 1000;
const RESTART_ANSWER_TIMEOUT_MS = 1000;
// A connection that lives this long was a good one: the next pause begins small again.
const SETTLED_MS = 10_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const LONGEST_REFUSED_PAUSE_MS = 60_000;
const CUT_OFTEN = 4;

/** How the devices of one process connect; the same for all of them. `presence`, `deafMs` undefined: as the profile says. */
export const LINK_OPTIONS = {
  protocol: "MQTT", presence: undefined, keepaliveS: 60, rebootS: 2, deafMs: undefined,
};

/** What went through a fleet. */
export function newCounts() {
  return { connected: 0, commands: 0, sent: 0, missed: 0, drops: 0 };
}

/** Runs one pure `Device` on MQTT. `shared`: {terminal, options, counts} of the process; `onRefused` is called with this. */
export class Link {
  constructor(settings, device, faults, shared, onRefused = () => {}) {
    this.settings = settings;
    this.device = device;
    this.faults = faults;
    this.shared = shared;
    this.onRefused = onRefused;
    this.refusal = undefined;
    this.presence = shared.options.presence ?? device.profile.presence ?? false;
    this.filter = `${settings.deviceId}/#`;
    this.stopping = new AbortController();
    this.heard = new Promise((resolve) => { this.isHeard = resolve; });
    this.nextPauseMs = FIRST_PAUSE_MS;
    this.said = "";
    this.forgetConnection();
    this.isRestarting = false;
  }

  // -- life ------------------------------------------------------------------------------------

  /** Stay connected until `stop()`. */
  async run() {
    let brief = 0;
    while (!this.isStopping) {
      const since = Date.now();
      const trouble = await this.connectAndStay();
      if (this.isRestarting) {
        await this.reboot();
      } else if (!this.isStopping && trouble !== undefined) {
        if (Date.now() - since > SETTLED_MS) {
          this.nextPauseMs = FIRST_PAUSE_MS;
          brief = 0;
        }
        if (trouble === LOST) brief += 1;
        await this.despair(brief >= CUT_OFTEN ? TAKEN_OVER : trouble);
      }
    }
  }

  /** Say goodbye and end `run()`. */
  stop() {
    if (this.isStopping) return;
    this.stopping.abort();
    this.goodbye();
  }

  get isStopping() {
    return this.stopping.signal.aborted;
  }

  /** Publish what the device raised by itself. */
  send(outgoing) {
    for (const message of this.faults.spoil(outgoing)) this.publishLater(message);
  }

  /** Connect and return why the connection ended; undefined when that was wanted. */
  connectAndStay() {
    return new Promise((resolve) => {
      const client = this.newClient();
      let isOver = false;
      // Bound to this connection: what a client says late must not end the next one.
      const end = (trouble) => {
        if (isOver) return;
        isOver = true;
        this.forgetConnection();
        client.end(true);
        resolve(trouble);
      };
      Object.assign(this, { client, end });
      client.once("connect", () => this.onConnect(client, end));
      client.on("message", (topic, payload) => this.onMessage(topic, payload));
      client.on("error", (error) => end(explain(error, this.settings)));
      client.once("close", () => end(this.whyClosed()));
      this.silence = setTimeout(() => end(SILENT_BROKER), CONNECT_TIMEOUT_MS);
    });
  }

  newClient() {
    const { settings, shared: { options } } = this;
    const isOld = options.protocol === "MQIsdp";
    const will = { topic: `server/${settings.deviceId}/presence`, payload: '{"value": "offline"}', qos: 1, retain: false };
    const proof = settings.password
      ? { username: settings.deviceId, password: settings.password }
      : { cert: settings.certificate, key: settings.key };
    return mqtt.connect({
      protocol: "mqtts",
      host: settings.host,
      port: settings.port,
      ca: settings.ca,
      ...proof,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      // Without it a QoS 1 exchange waits 40 ms for the other side's delayed acknowledgement.
      noDelay: true,
      clientId: settings.deviceId,
      protocolId: isOld ? "MQIsdp" : "MQTT",
      protocolVersion: isOld ? 3 : 4,
      clean: true,
      keepalive: options.keepaliveS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectPeriod: 0, // a reboot forgets what was not acknowledged yet, so each connection has a client of its own
      queueQoSZero: false,
      resubscribe: false,
      ...(this.presence ? { will } : {}),
    });
  }

  whyClosed() {
    if (this.isStopping || this.isRestarting) return undefined;
    this.shared.counts.drops += 1;
    return this.isAccepted ? LOST : HUNG_UP_EARLY;
  }

  /** Say what is wrong (once, not on every try), and wait before the next try. */
  async despair(trouble) {
    if (trouble.refused) {
      this.refusal = trouble;
      this.onRefused(this);
    }
    const longest = trouble.refused ? LONGEST_REFUSED_PAUSE_MS : LONGEST_PAUSE_MS;
    // With jitter, so that a fleet does not come back in one instant.
    const pauseMs = Math.min(this.nextPauseMs, longest) * (0.5 + Math.random() / 2);
    this.nextPauseMs = Math.min(this.nextPauseMs * 2, LONGEST_REFUSED_PAUSE_MS);
    if (String(trouble) !== this.said) {
      this.said = String(trouble);
      this.shared.terminal.trouble(this.device.name, `${trouble} (next try in ${(pauseMs / 1000).toFixed(1)} s)`);
    }
    await this.sleep(pauseMs);
  }

  async reboot() {
    const { rebootS } = this.shared.options;
    this.shared.terminal.event(this.device.name, `reboots, back in ${rebootS} s`);
    await this.sleep(rebootS * 1000);
    this.isRestarting = false;
    this.device.restart();
  }

  /** Wait, but not longer than until `stop()`. */
  async sleep(milliseconds) {
    await sleep(milliseconds, undefined, { signal: this.stopping.signal }).catch(() => {});
  }

  /** Leave in order: presence first, then DISCONNECT, so that the broker does not publish the last will. */
  goodbye() {
    const { client, end } = this;
    if (client === undefined) return;
    if (this.presence && this.isAccepted) this.publish({ api: "presence", payload: Buffer.from('{"value": "offline"}') });
    client.end(false);
    setTimeout(() => end(undefined), GOODBYE_TIMEOUT_MS).unref();
  }

  forgetConnection() {
    clearTimeout(this.silence);
    if (this.isAccepted) this.shared.counts.connected -= 1;
    this.isAccepted = false;
    this.isBusy = false;
  }

  // -- what the broker says --------------------------------------------------------------------

  async onConnect(client, end) {
    clearTimeout(this.silence);
    this.isAccepted = true;
    this.shared.counts.connected += 1;
    try {
      await client.subscribeAsync(this.filter, { qos: 1 });
    } catch {
      end(SUBSCRIPTION_REFUSED);
      return;
    }
    this.said = "";
    this.refusal = undefined;
    const { host, port } = this.settings;
    const version = client.stream.getProtocol?.() ?? "TLS";
    this.shared.terminal.event(this.device.name, `connected to ${host}:${port} (${version}), listens to ${this.filter}`);
    if (this.presence) this.publish({ api: "presence", payload: Buffer.from('{"value": "online"}') });
    this.isHeard();
  }

  onMessage(topic, payload) {
    const { terminal, counts } = this.shared;
    const api = topic.slice(topic.indexOf("/") + 1);
    terminal.came(this.device.name, api, payload);
    if (this.isBusy || this.isRestarting) {
      counts.missed += 1;
      terminal.event(this.device.name, `was busy and missed ${api}`);
      return;
    }
    counts.commands += 1;
    if (this.faults.reboots()) {
      this.losePower();
      return;
    }
    const answers = this.device.handle(api, payload);
    const restart = answers.some((answer) => answer.thenRestart);
    const outgoing = this.faults.spoil(answers);
    if (this.device.profile.deaf || restart) {
      this.isBusy = true;
      // What fails here is the connection: its end is handled where it is noticed.
      this.workAlone(this.client, outgoing, restart).catch(() => {});
    } else {
      for (const message of outgoing) this.publishLater(message);
    }
  }

  /** Go without a word, as in a brown-out: the broker finds out by itself, and publishes the last will. */
  losePower() {
    this.isRestarting = true;
    this.client.stream.destroy();
  }

  // -- what the device says --------------------------------------------------------------------

  publishLater(message) {
    if (message.afterMs > 0) setTimeout(() => this.publish(message), message.afterMs);
    else this.publish(message);
  }

  /** Send one message; the promise is fulfilled when the broker has acknowledged it, or at once when there is no connection. */
  async publish({ api, payload }) {
    const { terminal, counts } = this.shared;
    if (!this.isAccepted) {
      terminal.event(this.device.name, `is not connected: ${api} was not sent`);
      return;
    }
    terminal.went(this.device.name, api, payload);
    counts.sent += 1;
    await this.client.publishAsync(`server/${this.settings.deviceId}/${api}`, payload, { qos: 1 }).catch(() => {});
  }

  /** Answer one command with nothing else in between: deaf where the profile is, then reboot if asked to. */
  async workAlone(client, outgoing, restart) {
    const deaf = deafMs(this.device.profile);
    if (deaf !== undefined) await client.unsubscribeAsync(this.filter);
    const began = Date.now();
    for (const message of [...outgoing].sort((one, other) => one.afterMs - other.afterMs)) {
      await this.sleep(began + message.afterMs - Date.now());
      const sent = this.publish(message);
      await (restart ? Promise.race([sent, this.sleep(RESTART_ANSWER_TIMEOUT_MS)]) : sent);
    }
    if (restart) {
      this.isRestarting = true;
      this.goodbye();
      return;
    }
    if (deaf !== undefined) {
      await this.sleep(this.shared.options.deafMs ?? deaf);
      await client.subscribeAsync(this.filter, { qos: 1 });
    }
    if (client === this.client) this.isBusy = false;
  }
}
