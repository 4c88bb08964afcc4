"use strict";
// History: rows that pass the filter appear on top while the tail is on; an answer learns how long it took when the command ends.

const NEWEST = 50, WITHIN_MS = 36000;
const rowsOf = () => document.getElementById("rows");
const tailing = () => document.getElementById("tail")?.getAttribute("aria-pressed") === "true";

document.addEventListener("click", (event) => {
  const tail = event.target.closest("#tail");
  if (!tail) return;
  const on = tail.getAttribute("aria-pressed") !== "true";
  tail.setAttribute("aria-pressed", String(on));
  tail.querySelector(".led").classList.toggle("on", on);
  if (on) refresh("rows", "figures");
});

// A change looks up at once; Enter in a changed field is a change and a submit, and one question is enough. An answer to an earlier
// one may draw the form anew in between, without what was just typed: that goes into the new one.
let asking = null;
const changed = new Map();
document.addEventListener("change", ({ target }) => {
  if (!target.closest("#filters")) return;
  changed.set(target.name, target.value);
  asking ??= setTimeout(ask);
});
document.addEventListener("submit", () => {
  clearTimeout(asking);
  asking = null;
  changed.clear();
});

function ask() {
  asking = null;
  const form = document.getElementById("filters");
  if (!form) return;
  for (const [name, value] of changed) form.elements[name].value = value;
  form.requestSubmit();
}

function wanted(message, filter) {
  const text = filter.text.toLowerCase();
  return (!filter.device || filter.device === message.device) && (!filter.api || filter.api === message.api)
    && (!filter.direction || filter.direction === message.direction)
    && (!text || message.api.toLowerCase().includes(text) || message.payload.toLowerCase().includes(text));
}

function fill(row, message) {
  row.dataset.id = message.id;
  row.dataset.from = message.device;
  row.dataset.way = message.direction;
  row.dataset.payload = message.payload;
  row.dataset.api = message.api;
  row.querySelector(`.dir.${message.direction === "to" ? "from" : "to"}`).remove();
  showClock(row.querySelector("time"), message.time);
  row.querySelector("[data-link]")?.setAttribute("href", `/devices/${message.device}/control/`);
  row.classList.toggle("up", message.direction === "from");
  if (message.malformed) {
    row.classList.add("bad-row");
    flag(row, "bad", "malformed, text kept");
  }
}

function flag(row, kind, text) {
  const place = row.querySelector("[data-flag]");
  place.className = "flag " + kind;
  place.textContent = text;
  place.hidden = false;
}

document.addEventListener("live:message", ({ detail }) => {
  const rows = rowsOf();
  if (!tailing() || !wanted(detail, rows.dataset) || rows.querySelector(`[data-id="${detail.id}"]`)) return;
  const short = detail.device.slice(0, 8) + "…", texts = { name: nameOf(detail.device), short, api: detail.api, payload: detail.payload.slice(0, 600) };
  rows.querySelector("[data-empty]")?.remove();
  rows.querySelector(".scroll").hidden = false;
  const row = fromTemplate("row", texts), place = rows.querySelector("tbody");
  fill(row, detail);
  place.prepend(row);
  while (place.children.length > NEWEST) place.lastElementChild.remove();
  pairSoon();
  figuresSoon();
});

// Commands end about when their messages arrive, in either order: they are kept until both are here.
const ended = [];
document.addEventListener("live:command", ({ detail }) => {
  ended.push({ ...detail, heard: Date.now() });
  while (ended.length > 200) ended.shift();
  pairSoon();
});

let pairing = null;
function pairSoon() {
  pairing ??= setTimeout(() => {
    pairing = null;
    const body = rowsOf().querySelector("tbody"), old = Date.now() - 10000;
    for (const command of ended.splice(0)) if (!pair(body, command) && command.heard > old) ended.push(command);
  }, 20);
}

// The same rule as messaging.selectors.pair.
function pair(body, command) {
  const accepted = Date.parse(command.time);
  const find = (way, payload) => [...body.children].reverse().find((row) => row.dataset.way === way && row.dataset.from === command.device
    && (row.dataset.command ?? command.id) === command.id && row.querySelector("[data-api]").textContent === command.api
    && (row.dataset.payload ?? row.querySelector("[data-payload]").textContent) === payload
    && (!row.matches(".pair") || row.dataset.command)
    && Date.parse(row.querySelector("time").dateTime) >= accepted - 1000 && Date.parse(row.querySelector("time").dateTime) <= accepted + WITHIN_MS);
  const question = find("to", command.payload);
  if (question) {
    question.dataset.command = command.id;
    question.classList.add("pair");
    if (command.outcome === "timeout") flag(question, "bad", `no answer in ${command.timeout_s} s`);
    if (command.outcome === "disconnected") flag(question, "warn", "portal lost the broker");
  }
  const answer = command.answer === null ? null : find("from", command.answer);
  if (answer) {
    answer.dataset.command = command.id;
    answer.classList.add("pair");
    answer.querySelector("[data-took]").textContent = words.ms(command.late_ms ?? command.delivered_ms ?? command.answered_ms);
    if (command.late_ms !== null) flag(answer, "warn", "late");
    else if (command.outcome === "device_error") flag(answer, "bad", "error");
  }
  return Boolean(question && (answer || command.answer === null));
}

let figures = null;
function figuresSoon() {
  figures ??= setTimeout(() => {
    figures = null;
    refresh("figures");
  }, 10000);
}
