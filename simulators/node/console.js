/** What a simulator shows on the terminal. The twin of console.py. */

const SHOWN_BYTES = 300;

/** One line for each thing that happened. `traffic` false leaves the messages out (a fleet), `quiet` all but troubles. */
export class Terminal {
  constructor({ quiet = false, traffic = true } = {}) {
    this.quiet = quiet;
    this.traffic = traffic && !quiet;
  }

  came(name, api, payload) {
    this.event(name, `<- ${api} ${printable(payload)}`);
  }

  went(name, api, payload) {
    this.event(name, `-> ${api} ${printable(payload)}`);
  }

  uart(name, text) {
    this.event(name, `UART ${printable(Buffer.from(text, "utf8"))}`);
  }

  /** Show what happened to the device. */
  event(name, text) {
    if (this.traffic) line(process.stdout, name, text);
  }

  /** Show a line about the whole process. */
  note(text) {
    if (!this.quiet) line(process.stdout, "simulator", text);
  }

  /** Show what is wrong; also when quiet. */
  trouble(name, text) {
    line(process.stderr, name, text);
  }
}

/** Return payload as one safe line: what a device was sent must not steer the terminal. */
export function printable(payload) {
  const text = payload.subarray(0, SHOWN_BYTES).toString("utf8");
  const safe = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => `\\x${one.codePointAt(0).toString(16).padStart(2, "0")}`);
  return payload.length > SHOWN_BYTES ? `${safe}...` : safe;
}

function line(stream, name, text) {
  stream.write(`${new Date().toTimeString().slice(0, 8)} ${name}: ${text}\n`);
}
