/** Bad days on purpose: late, lost, doubled, wrong and broken answers, repeatable by a seed. No I/O. The twin of faults.py. */

import { createHash } from "node:crypto";

/** The dials. Times in milliseconds, the rest are probabilities from 0 to 1 for each message (`reboot`: each command). */
export const FAULTS = { delayMs: 0, jitterMs: 0, loss: 0, duplicate: 0, wrongPin: 0, malformed: 0, reboot: 0 };

/** Spoils one device's messages by the dials; the same seed and device id spoil alike in every run. */
export class FaultInjector {
  constructor(faults, { seed, deviceId }) {
    this.faults = { ...FAULTS, ...faults };
    this.isIdle = Object.values(this.faults).every((dial) => dial === 0);
    this.chance = chances(`${seed}:${deviceId}`);
    this.rebootChance = chances(`${seed}:${deviceId}:reboot`);
  }

  /** Say whether the device loses its power over this command. */
  reboots() {
    return this.faults.reboot > 0 && this.rebootChance() < this.faults.reboot;
  }

  /** Return what really leaves in place of `outgoing`, each with `afterMs`. */
  spoil(outgoing) {
    if (this.isIdle) return outgoing.map((message) => ({ ...message, afterMs: 0 }));
    return outgoing.flatMap((message) => this.spoilOne(message));
  }

  spoilOne(message) {
    const { delayMs, jitterMs, loss, duplicate, wrongPin, malformed } = this.faults;
    // Every dial draws for every message, so turning one does not change the others' luck.
    const [jitter, lost, doubled, wrong, broken, how] = Array.from({ length: 6 }, () => this.chance());
    if (lost < loss) return [];
    let payload = message.payload;
    if (wrong < wrongPin) payload = withNextPin(payload);
    if (broken < malformed) payload = spoiled(payload, how);
    const spoilt = { ...message, payload, afterMs: delayMs + jitter * jitterMs };
    return doubled < duplicate ? [spoilt, spoilt] : [spoilt];
  }
}

function withNextPin(payload) {
  const text = payload.toString("latin1").replace(/"number": ([0-9]+)/g, (_, number) => `"number": ${Number(number) + 1}`);
  return Buffer.from(text, "latin1");
}

/** Return one of the ways a payload goes wrong; `how` (0 to 1) picks it. */
function spoiled(payload, how) {
  const text = payload.toString("latin1");
  const ways = [
    text.slice(0, Math.floor(text.length / 2)),
    `${text}}`,
    `\xff\xfe${text}`,
    "[".repeat(200),
    "",
    text.replaceAll('"value"', '"valeu"'),
    '{"value": {"value": {}}}',
  ];
  return Buffer.from(ways[Math.floor(how * ways.length) % ways.length], "latin1");
}

/** Return a function that gives a number from 0 to 1 at each call, the same ones for the same seed (not for secrets). */
function chances(seed) {
  let state = createHash("sha256").update(seed).digest().readUInt32LE(0);
  // Mulberry32: small, and good enough for luck.
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
