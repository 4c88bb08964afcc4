"use strict";
// Control: a tile's form goes over the WebSocket; while that is down, it goes as the form it is. A value on the page is only ever
// what the device said; what was asked for and not yet answered is drawn beside it.

const device = document.body.dataset.control;
const LEVELS = { 0: "LOW", 1: "HIGH" };
const level = (value) => LEVELS[value] ?? String(value);
const deviceName = () => document.getElementById("device-name").textContent;

// --- saying what became of a question ---------------------------------------------------------------------------------------

function say(form, kind, what, text, code, see) {
  const place = (form.closest(".panel") ?? document).querySelector("[data-said]");
  if (!what) return place.replaceChildren();
  const note = document.getElementById("note").content.firstElementChild.cloneNode(true);
  note.className = "note " + kind;
  note.setAttribute("role", kind === "live" ? "status" : "alert");
  note.querySelector(`[data-icon=${kind === "live" ? "bad" : "live"}]`).remove();
  note.querySelector("[data-what]").textContent = what;
  const more = note.querySelector("[data-text]");
  if (code) more.replaceChildren(Object.assign(document.createElement("code"), { textContent: text }));
  else more.textContent = text ?? "";
  const link = note.querySelector("[data-see]");
  if (see) Object.assign(link, { href: new URL(see).pathname, hidden: false }).before(" ");
  else link.remove();
  place.replaceChildren(note);
}

function clearErrors(form) {
  for (const error of form.querySelectorAll("[data-error]")) error.hidden = true;
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// Puts messages at their fields; what has no field of its own goes to the one marked * or is said in the tile.
function showErrors(form, errors) {
  const places = [...form.querySelectorAll("[data-error]")];
  for (const [name, texts] of Object.entries(errors)) {
    const place = places.find((one) => one.dataset.error.split(" ").includes(name)) ?? places.find((one) => one.dataset.error.includes("*"));
    if (!place) {
      say(form, "bad", texts.join(" "));
      continue;
    }
    place.textContent = (place.dataset.error.includes(name) ? "" : name + ": ") + texts.join(" ");
    place.hidden = false;
    form.querySelector(`[aria-describedby~="${place.id}"]`)?.setAttribute("aria-invalid", "true");
  }
}

function wordsOf(problem) {
  if (problem.code === "device_offline") {
    const since = document.querySelector("#unit .facts time")?.dateTime;
    const offline = document.body.dataset.offline && since ? ` for ${words.seconds(Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000)))}` : "";
    return ["warn", offline ? `${deviceName()} has been offline${offline}.` : `${deviceName()} is offline.`, "Nothing was sent."];
  }
  const [what, ...rest] = problem.detail.split(". ");
  return [[402, 429, 503].includes(problem.status) ? "warn" : "bad", what.replace(/\.$/, "") + ".", rest.join(". ")];
}

// --- sending ------------------------------------------------------------------------------------------------------------------

const brief = (api, args) => ("number" in args ? `${api} ${args.number}${"value" in args ? ` → ${args.value}` : ""}` : api);

// Sends one command and shows it in the timeline while it is under way; resolves to the result frame.
async function send(api, args, onTick) {
  const list = document.getElementById("cmds");
  const row = fromTemplate("cmd-row", { text: brief(api, args) });
  list?.prepend(row);
  const started = performance.now();
  const tick = setInterval(() => {
    const passed = performance.now() - started;
    row.querySelector("[data-took]").textContent = words.ms(passed, "list") + "…";
    onTick?.(passed);
  }, 60);
  const result = await command(device, api, args);
  clearInterval(tick);
  row.querySelector("[data-took]").textContent = result.ok ? words.ms(result.command.timeline.delivered) : result.problem.code === "device_timeout" ? "no answer" : "";
  row.querySelector(".go").classList.replace("go", result.ok ? "f" : "x");
  row.querySelector("[data-took]").classList.toggle("c-bad", !result.ok);
  if (!result.ok && result.problem.code !== "device_timeout") setTimeout(() => row.remove(), 4000);
  return result;
}

async function busy(button, word, work) {
  const label = button.querySelector("[data-label]") ?? button, before = label.textContent;
  button.setAttribute("aria-busy", "true");
  label.textContent = word;
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-busy");
    label.textContent = before;
  }
}

// --- pins ---------------------------------------------------------------------------------------------------------------------

const pinRow = (number) => document.getElementById("pin-" + number);

function makePinRow(number) {
  const row = fromTemplate("pin-row", { number, title: `GPIO ${number}` });
  row.id = "pin-" + number;
  row.dataset.pin = number;
  const field = row.querySelector("[name=number]");
  if (field) field.value = number; // who may only look on has none
  for (const control of row.querySelectorAll("[aria-label]")) control.setAttribute("aria-label", `${control.getAttribute("aria-label")} GPIO ${number}`.trim().replace(/ +/, " "));
  const next = [...document.querySelectorAll("[data-pin]")].find((one) => Number(one.dataset.pin) > Number(number));
  document.getElementById("pins").insertBefore(row, next ?? null);
  document.getElementById("pins-empty").hidden = true;
  return row;
}

// A pin that the device knows can be named, and asked for with all the others.
function offerPin(number) {
  const naming = document.getElementById("name-pins"), all = document.querySelector("#gpio [name=do]");
  if (all) all.disabled = false;
  if (!naming) return;
  const choice = naming.querySelector("select"), options = [...choice.options];
  if (!options.some((one) => one.value === String(number))) choice.add(new Option(number, number), options.find((one) => Number(one.value) > Number(number)) ?? null);
  naming.hidden = false;
}

// The device said so: the only way to a value.
function confirmPin(number, value, at, elapsed, fresh) {
  const row = pinRow(number) ?? makePinRow(number);
  if (row.dataset.value === "") offerPin(number);
  row.dataset.value = value;
  row.dataset.timed = elapsed === null || elapsed === undefined ? "" : "1";
  const lvl = row.querySelector("[data-level]"), knob = row.querySelector(".sw");
  lvl.textContent = level(value);
  lvl.classList.toggle("hi", Boolean(value));
  if (!row.classList.contains("pending") && knob) {
    knob.setAttribute("aria-checked", String(Boolean(value)));
    knob.value = value ? 0 : 1;
    knob.disabled = false;
  }
  if (row.classList.contains("pending")) return row;
  const sub = row.querySelector("[data-sub]"), when = document.createElement("span");
  showAge(when, at);
  sub.replaceChildren(Object.assign(document.createElement("span"), { className: "desk", textContent: "confirmed " }), when, elapsed === null || elapsed === undefined ? "" : ` · ${words.ms(elapsed)}`);
  row.querySelector("[data-say]").hidden = true;
  if (!fresh) return row;
  row.className = "";
  void row.offsetWidth; // so that a second confirmation settles again
  row.className = "confirmed";
  clearTimeout(row.settled);
  row.settled = setTimeout(() => row.classList.remove("confirmed"), 6000);
  return row;
}

async function askPin(api, number, value) {
  const row = pinRow(number) ?? makePinRow(number), setting = value !== undefined;
  const known = row.dataset.value === "" ? null : Number(row.dataset.value);
  const knob = row.querySelector(".sw"), sub = row.querySelector("[data-sub]"), before = [...sub.childNodes];
  row.querySelector("[data-say]").hidden = true;
  row.className = "pending";
  const asking = setting ? `asking for ${level(value)}…` : "asking…";
  if (setting && knob) knob.setAttribute("aria-checked", String(Boolean(Number(value))));
  sub.textContent = asking;
  const result = await send(api, setting ? { number, value } : { number }, (passed) => (sub.textContent = `${asking} ${words.ms(passed, "list")}`));
  row.className = "";
  sub.replaceChildren(...before);
  if (result.ok) {
    const answer = result.command.answer;
    confirmPin(number, answer.value, new Date().toISOString(), result.command.timeline.delivered, true);
    if (setting && Number(answer.value) !== Number(value)) pinSays(row, "reverted", `Asked for ${level(value)}; the device answered ${level(answer.value)}.`);
    return result;
  }
  if (knob) knob.setAttribute("aria-checked", String(Boolean(known)));
  const problem = result.problem;
  if (problem.status === 400) {
    if (!row.dataset.value && !before.some((node) => node.nodeType === 1)) row.remove();
  } else if (problem.code === "device_timeout" && setting) {
    const span = problem.detail.match(/in ([\d.]+ s)/)?.[1] ?? "time";
    pinSays(row, "reverted", `${known === null ? "No" : `Put back to ${level(known)}: no`} answer in ${span}. The device may still have switched; Get asks it.`);
  } else {
    const [kind, what, text] = wordsOf(problem);
    pinSays(row, kind === "warn" || problem.status === 504 ? "reverted" : "error", `${what} ${text}`.trim(), problem.see);
  }
  return result;
}

function pinSays(row, state, text, see) {
  row.className = state;
  const place = row.querySelector("[data-say]");
  place.textContent = text;
  if (see) {
    const link = document.getElementById("note").content.querySelector("[data-see]").cloneNode(true);
    place.append(" ", Object.assign(link, { href: new URL(see).pathname, hidden: false }));
  }
  place.hidden = false;
}

// --- other values ---------------------------------------------------------------------------------------------------------------

function showReading(key, value, at, elapsed) {
  const row = document.querySelector(`[data-reading="${key}"]`);
  if (!row) return;
  row.querySelector("[data-value]").textContent = value;
  const when = row.querySelector("[data-when]"), ago = document.createElement("span");
  showAge(ago, at);
  when.replaceChildren(elapsed === null || elapsed === undefined ? "" : words.ms(elapsed) + " · ", ago);
  if (key === "rtc") showDrift(Number(value), Date.parse(at) / 1000 - (elapsed ?? 0) / 2000);
}

function showDrift(epoch, saidAt) {
  const options = { timeZone: document.documentElement.dataset.zone, weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  document.querySelector("[data-local]").textContent = Number.isFinite(epoch) ? new Date(epoch * 1000).toLocaleString("en-GB", options).replace(/^(\w+),/, "$1") : "–";
  const flag = document.querySelector("[data-drift]"), drift = epoch - saidAt;
  const off = drift > -1 && drift <= 0 ? 0 : Math.abs(drift); // it counts whole seconds
  flag.textContent = off < 1 ? "on time" : `${words.seconds(off < 10 ? Math.round(off * 10) / 10 : off)} ${drift < 0 ? "behind" : "ahead"}`;
  flag.className = "flag " + (off < 5 ? "live" : "warn");
  flag.hidden = false;
}

// Wall time in the user's zone → seconds since 1970 (twice, for the hours around a change of the clocks).
function epochOf(wall) {
  const asUtc = Date.parse(wall + "Z");
  const wallOf = (ms) => Date.parse(new Date(ms).toLocaleString("sv-SE", { timeZone: document.documentElement.dataset.zone }).replace(" ", "T") + "Z");
  let guess = asUtc - (wallOf(asUtc) - asUtc);
  guess += asUtc - wallOf(guess);
  return Math.floor(guess / 1000);
}

// --- the tiles' forms -----------------------------------------------------------------------------------------------------------

function fail(form, problem) {
  if (Object.keys(problem.errors ?? {}).length) return showErrors(form, problem.errors);
  say(form, ...wordsOf(problem), false, problem.see);
}

function recipientOf(data) {
  if (data.get("to") === "sms") {
    const digits = data.get("phone").replace(/[^\d+]/g, ""), country = data.get("country");
    if (digits.startsWith("+")) return digits;
    if (!digits) return { phone: ["Which number?"] };
    if (!country) return { phone: ["Choose the country, or start the number with +."] };
    return `+${country}${["39", "378"].includes(country) ? digits : digits.replace(/^0/, "")}`;
  }
  if (data.get("to") === "device") return data.get("target") || { target: ["Which device?"] };
  if (data.get("to") === "push") return "push:";
  if (data.get("to") === "webhook") return data.get("named") || { named: ["Which one?"] };
  const email = data.get("email").trim();
  return email.includes("@") ? email : { email: [email ? "An e-mail address has an @." : "To whom?"] };
}

const TILES = {
  async status(form, data, button) {
    const result = await busy(button, "Asking…", () => send(data.get("api"), {}));
    const timedOut = !result.ok && result.problem.code === "device_timeout";
    if (result.ok || timedOut) showStatus(result.ok, new Date().toISOString(), result.ok ? result.command.timeline.delivered : null);
    if (!result.ok && !timedOut) fail(form, result.problem); // silence is an answer here: NOT RUNNING
  },
  async gpio(form, data, button) {
    if (button.name === "do") {
      const numbers = [...document.querySelectorAll("[data-pin]")].map((row) => Number(row.dataset.pin));
      return busy(button, "Asking…", async () => {
        for (const number of numbers) {
          const result = await askPin(document.getElementById("pins").dataset.get, number);
          if (!result.ok) return;
        }
      });
    }
    const field = form.elements.number, number = field.value.trim(), { min, max } = field.dataset;
    if (!/^\d+$/.test(number)) return showErrors(form, { number: [number ? `"${number}" is not a whole number.` : "Which pin?"] });
    if ((min && Number(number) < Number(min)) || (max && Number(number) > Number(max))) return showErrors(form, { number: [`${number} is not possible; pins are numbered ${min} to ${max}.`] });
    const value = button.name === "value" ? Number(button.value) : undefined;
    const result = await busy(button, "Asking…", () => askPin(button.dataset.api, Number(number), value));
    if (result.ok) field.select();
    else if (result.problem.status === 400) fail(form, result.problem);
  },
  async pin(form, data, button) {
    const row = form.closest("[data-pin]"), pins = document.getElementById("pins");
    if (row.classList.contains("pending")) return;
    if ("get" in button.dataset) await askPin(pins.dataset.get, Number(row.dataset.pin));
    else await askPin(pins.dataset.set, Number(row.dataset.pin), button.getAttribute("aria-checked") === "true" ? 0 : 1);
  },
  async values(form, data, button) {
    await busy(button, "Asking…", async () => {
      for (const api of form.dataset.apis.trim().split(" ")) {
        const result = await send(api, {});
        if (!result.ok) return fail(form, result.problem);
        showReading(api.replace(/^get_/, ""), result.command.answer.value, new Date().toISOString(), result.command.timeline.delivered);
      }
    });
  },
  async rtc(form, data, button) {
    let args = {};
    if (button.value === "now") args = { value: Math.floor(Date.now() / 1000) };
    if (button.value === "set") {
      if (!data.get("moment")) return showErrors(form, { moment: ["Choose a date and a time."] });
      args = { value: epochOf(data.get("moment")) };
    }
    const result = await busy(button, button.value === "get" ? "Asking…" : "Setting…", () => send(button.dataset.api, args));
    if (!result.ok) return fail(form, result.problem);
    showReading("rtc", result.command.answer.value, new Date().toISOString(), result.command.timeline.delivered);
  },
  async uart(form, data, button) {
    const result = await busy(button, "Sending…", () => send(form.dataset.api, { value: data.get("value") }));
    if (!result.ok) return fail(form, result.problem);
    form.elements.value.value = "";
    form.elements.value.dispatchEvent(new Event("input"));
    say(form, "live", `Answered in ${words.ms(result.command.timeline.delivered)}.`, result.command.text === null ? "" : "The answer was not valid JSON. Text kept.");
  },
  async notifications(form, data, button) {
    const recipient = recipientOf(data);
    if (typeof recipient !== "string") return showErrors(form, recipient);
    const result = await busy(button, "Sending…", () => send(form.dataset.api, { recipient, message: data.get("message") }));
    if (!result.ok) {
      const { recipient: wrong, ...errors } = result.problem.errors ?? {}; // one field of the protocol, several on the page
      if (wrong) errors[{ email: "email", sms: "phone", device: "target", webhook: "named" }[data.get("to")] ?? "push"] = wrong;
      return fail(form, { ...result.problem, errors });
    }
    say(form, "live", `The device raised it in ${words.ms(result.command.timeline.delivered)}.`);
  },
  async custom(form, data, button) {
    const api = data.get("api").trim();
    let args;
    if (!api) return showErrors(form, { api: ["Which api?"] });
    try {
      args = JSON.parse(data.get("json").trim() || "{}");
    } catch (error) {
      return showErrors(form, { json: [`This is not JSON. ${error.message}`] });
    }
    if (args === null || typeof args !== "object" || Array.isArray(args)) return showErrors(form, { json: ["A command is a JSON object, in { }."] });
    const result = await busy(button, "Asking…", () => send(api, args));
    if (result.ok) return say(form, "live", `Answered in ${words.ms(result.command.timeline.delivered)}.`, result.command.text ?? JSON.stringify(result.command.answer), true);
    const problem = result.problem, declared = document.querySelector(`#custom-apis [value="${CSS.escape(api)}"]`);
    if (problem.code !== "device_timeout" || declared || document.body.dataset.offline) return fail(form, problem);
    const asked = document.querySelector("[data-run]:not(.no, [hidden])") && document.querySelector("[data-asked] time");
    const heard = asked ? ` and answered get_status ${words.ago(asked.dateTime)}` : "";
    say(form, "bad", wordsOf(problem)[1], `The device is connected${heard}, so it may not know ${api}.`);
  },
  async own(form, data, button) {
    const args = {};
    for (const input of form.querySelectorAll("[data-field]")) {
      const { field, type, required } = input.dataset;
      if (input.value !== "" || required !== undefined) args[field] = typed(input.value, type);
    }
    const result = await busy(button, "Asking…", () => send(form.dataset.api, args));
    if (!result.ok) return fail(form, result.problem);
    say(form, "live", `Answered in ${words.ms(result.command.timeline.delivered)}.`);
    refresh(form.closest(".panel").querySelector("[data-own]").id);
  },
  async restart(form) {
    form.closest("dialog").close();
    const steps = document.querySelector("[data-restart]"), args = {};
    for (const [key, value] of Object.entries(form.dataset)) if (key.startsWith("arg") && key !== "arg") args[key[3].toLowerCase() + key.slice(4)] = value;
    steps.hidden = false;
    for (const step of steps.children) {
      step.className = "";
      step.querySelector("[data-text]").textContent = "";
    }
    restart = { at: performance.now(), gone: null };
    restartStep("answer", "now", "asking…");
    const result = await send(form.dataset.api, args);
    if (!result.ok) {
      restart = null;
      steps.hidden = true;
      return fail(form, result.problem);
    }
    restartStep("answer", "done", `answered “${result.command.answer.value}” in ${words.ms(result.command.timeline.delivered)}`);
    if (restart && restart.gone === null) restartStep("gone", "now", "waiting for it to go");
  },
};

// What a form's text stands for; what cannot be read stays text, and the portal says what is wrong with it.
function typed(text, type) {
  if (type === "string" || (type === "number" && text.trim() === "")) return text;
  if (type === "integer") return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

let restart = null;
function restartStep(step, state, text) {
  const item = document.querySelector(`[data-restart] [data-step=${step}]`);
  item.className = state;
  item.querySelector("[data-text]").textContent = text;
}

function showStatus(running, at, elapsed) {
  const flag = document.querySelector("[data-run]"), asked = document.querySelector("[data-asked]"), when = document.createElement("span");
  flag.hidden = false;
  flag.textContent = running ? "RUNNING" : "NOT RUNNING";
  flag.classList.toggle("no", !running);
  showAge(when, at);
  asked.replaceChildren("Asked ", when, running ? ", answered in " : ", no answer");
  if (running) asked.append(Object.assign(document.createElement("span"), { className: "mono", textContent: words.ms(elapsed) }));
}

document.addEventListener("submit", (event) => {
  const form = event.target, work = TILES[form.dataset.tile];
  if (!work || !live.open || event.submitter?.matches("[data-plain]")) return; // without the socket it goes as a form
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button");
  if (button.getAttribute("aria-busy")) return;
  clearErrors(form);
  if (form.dataset.tile !== "pin") say(form);
  work(form, new FormData(form, button), button);
});

// --- what others do -------------------------------------------------------------------------------------------------------------

// Own tiles are drawn by the server: asked for again at most once a second, and once more after the last reading.
const staleTiles = new Set();
let tilesDue = null, tilesAsked = -Infinity;
function refreshTile(id) {
  staleTiles.add(id);
  tilesDue ??= setTimeout(() => {
    tilesDue = null;
    tilesAsked = performance.now();
    refresh(...staleTiles);
    staleTiles.clear();
  }, Math.max(0, 1000 - (performance.now() - tilesAsked)));
}

document.addEventListener("live:reading", ({ detail }) => {
  if (detail.device !== device) return;
  const own = document.getElementById(`own-${detail.key.replace(/^api:(set_)?/, "").replace(/\/\d+$/, "")}-values`);
  if (own) return refreshTile(own.id);
  const pin = detail.key.match(/^gpio\/(\d+)$/);
  if (!pin) return showReading(detail.key, detail.value, detail.at, detail.elapsed_ms);
  const row = pinRow(pin[1]), shown = row?.querySelector("[data-sub] time")?.dateTime;
  // The same answer comes up to three times: to this page's own command, as a message, and with the command's time.
  const known = shown && Math.abs(Date.parse(detail.at) - Date.parse(shown)) < 2000 && Number(row.dataset.value) === detail.value;
  if (known && (detail.elapsed_ms === null || row.dataset.timed)) return;
  confirmPin(Number(pin[1]), detail.value, detail.at, detail.elapsed_ms, !known);
});

let redraw = null, drawn = 0;
document.addEventListener("live:command", ({ detail }) => {
  if (detail.device !== device) return;
  const wait = Math.max(0, 500 - (performance.now() - drawn));
  redraw ??= setTimeout(() => {
    redraw = null;
    drawn = performance.now();
    refresh("timeline", "dock");
  }, wait);
});

document.addEventListener("live:presence", ({ detail }) => {
  if (detail.device !== device) return;
  const was = !document.body.dataset.offline;
  document.body.dataset.offline = detail.connected ? "" : "1";
  if (detail.asked_at) showStatus(detail.running, detail.asked_at, detail.answered_ms);
  for (const control of document.querySelectorAll("[data-pin] button, #ethernet .bar button, #rtc .bar button, #restart .bar button")) {
    control.disabled = !detail.connected || (control.matches(".sw") && control.closest("[data-pin]").dataset.value === "");
  }
  if (restart && !detail.connected) {
    restart.gone = performance.now();
    restartStep("gone", "done", `${words.seconds((restart.gone - restart.at) / 1000)} after it was told`);
    restartStep("back", "now", "waiting for it to come back");
  } else if (restart && restart.gone !== null) {
    restartStep("back", "done", `it was away for ${words.seconds((performance.now() - restart.gone) / 1000)}`);
    restart = null;
    refresh("restarted");
  }
  if (was !== detail.connected) refresh("unit");
});

// --- console --------------------------------------------------------------------------------------------------------------------

const KEPT_LINES = 500;
const consoleOf = () => document.getElementById("con");

function uartText(payload) {
  try {
    const body = JSON.parse(payload);
    return body && typeof body === "object" && "value" in body ? String(body.value) : payload;
  } catch { // firmware that escapes nothing
    const start = payload.indexOf('"value": "');
    return start < 0 ? payload : payload.slice(start + 10).replace(/\}$/, "").replace(/"$/, "");
  }
}

function follow() {
  const box = document.getElementById("follow"), con = consoleOf();
  if (con && box?.checked) con.scrollTop = con.scrollHeight;
}

document.addEventListener("live:message", ({ detail }) => {
  const con = consoleOf();
  if (!con || detail.device !== device || detail.api !== con.dataset.api || con.querySelector(`[data-id="${detail.id}"]`)) return;
  const to = detail.direction === "to";
  const line = fromTemplate("console-line", { arrow: to ? "↓" : "↑", text: uartText(detail.payload) });
  line.dataset.id = detail.id;
  for (const part of line.querySelectorAll("span")) part.className = detail.direction;
  line.querySelector("[data-arrow]").setAttribute("aria-label", to ? "to the device" : "from the device");
  showClock(line.querySelector("time"), detail.time);
  con.querySelector(".none")?.remove();
  con.append(line);
  while (con.children.length > KEPT_LINES) con.firstElementChild.remove();
  follow();
});
document.addEventListener("live:refreshed", follow);
document.getElementById("follow")?.addEventListener("change", follow);
follow();

// --- small things of the forms ----------------------------------------------------------------------------------------------------

// Bytes between the quotes on the wire: what is not ASCII goes out as \uXXXX, and the rest as JSON escapes it.
const wireBytes = (text) => [...text.split("")].reduce((sum, unit) => sum + (/[\\"\n\r\t\b\f]/.test(unit) ? 2 : /[ -~]/.test(unit) ? 1 : 6), 0);

document.addEventListener("input", ({ target }) => {
  const { count, maxBytes } = target.dataset ?? {};
  if (!count || !maxBytes) return;
  const place = document.getElementById(count), size = wireBytes(target.value), over = size - Number(maxBytes);
  place.hidden = false;
  place.textContent = over > 0 ? `${size} bytes; this kind of device takes ${maxBytes}. Shorten it by ${over}.` : `${size} of ${maxBytes} bytes`;
  place.classList.toggle("c-bad", over > 0);
  target.toggleAttribute("aria-invalid", over > 0);
  if (over > 0) target.setAttribute("aria-invalid", "true");
});

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[data-to]");
  if (!tab) return;
  event.preventDefault();
  const form = document.querySelector("[data-tile=notifications]");
  for (const one of document.querySelectorAll("[data-to]")) one.toggleAttribute("aria-current", one === tab);
  tab.setAttribute("aria-current", "true");
  form.elements.to.value = tab.dataset.to;
  for (const way of form.querySelectorAll("[data-way]")) way.hidden = way.dataset.way !== tab.dataset.to;
  form.elements.to.dispatchEvent(new Event("change", { bubbles: true })); // what it costs is asked for anew
});
