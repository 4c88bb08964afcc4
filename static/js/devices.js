"use strict";
// Devices: the feed, the fleet's lamps, and the steps of a device that is waited for.

const FEED = 12;

document.addEventListener("live:message", ({ detail }) => {
  for (const place of document.querySelectorAll(`[data-device="${detail.device}"] [data-seen]`)) {
    if (detail.direction === "from") showAge(place, detail.time);
  }
  const feed = document.getElementById("feed");
  if (!feed || feed.querySelector(`[data-id="${detail.id}"]`)) return;
  const row = fromTemplate("feed-row", { name: nameOf(detail.device), text: `${detail.api} ${detail.payload.slice(0, 120)}` });
  row.dataset.id = detail.id;
  row.querySelector(`.dir.${detail.direction === "to" ? "from" : "to"}`).remove();
  showClock(row.querySelector("time"), detail.time, false);
  feed.prepend(row);
  while (feed.children.length > FEED) feed.lastElementChild.remove();
  document.getElementById("feed-empty").hidden = true;
});

// What is drawn from many commands (sparklines, medians, counts) is asked for again, at most every 5 s.
let due = null;
function refreshSoon() {
  due ??= setTimeout(() => {
    due = null;
    refresh("list", "fleet", "chips");
  }, 5000);
}
if (document.getElementById("list")) {
  document.addEventListener("live:command", refreshSoon);
  document.addEventListener("live:presence", () => refresh("fleet", "chips"));
  document.addEventListener("live:device", ({ detail }) => detail.change !== "renamed" && refresh("list", "fleet", "chips"));
}

// A device's page: what happened to it, and its presence with all that was counted.
if (document.getElementById("presence")) {
  for (const kind of ["presence", "timeline"]) document.addEventListener("live:" + kind, () => refresh("presence", "happened"));
}

// The steps: connected? then ask it, once, whether it listens.
const stepsOf = () => document.querySelector("[data-steps]");
function follow({ detail }) {
  const steps = stepsOf();
  if (!steps || detail.device !== steps.dataset.steps) return;
  const [connecting, answering] = ["connect", "answer"].map((step) => steps.querySelector(`[data-step=${step}]`));
  const head = steps.querySelector("[data-head]"), led = steps.querySelector(".bar .led");
  led.className = "led " + (detail.connected ? "on" : "");
  led.setAttribute("aria-label", detail.connected ? "online" : "offline");
  if (!detail.connected) {
    head.textContent = "It was here, and is offline now";
    return;
  }
  connecting.className = "done";
  connecting.querySelector("[data-said]").textContent = [detail.protocol, detail.tls, detail.address && "from " + detail.address].filter(Boolean).join(", ");
  steps.querySelector("[data-timer]")?.remove();
  head.textContent = answering.className === "done" ? "It is up" : "Connected";
  if (answering.className !== "done") askWhetherItListens(detail.device);
}

const stepOf = (name) => document.querySelector(`[data-step=${name}]`); // looked up each time: the steps may be refreshed meanwhile
let listening = false;
async function askWhetherItListens(device) {
  if (listening) return;
  listening = true;
  stepOf("answer").className = "now";
  stepOf("answer").querySelector("[data-said]").textContent = "asking…";
  await new Promise((resolve) => setTimeout(resolve, 400)); // it has connected, and subscribes a moment later
  const result = await command(device, "get_status", {}), said = stepOf("answer").querySelector("[data-said]");
  listening = false;
  said.textContent = result.ok ? `answered in ${words.ms(result.command.timeline.delivered)}` : result.problem.detail;
  said.className = "sm " + (result.ok ? "c-live" : "c-bad");
  if (!result.ok) return;
  stepOf("answer").className = stepOf("open").className = "done";
  document.querySelector("[data-head]").textContent = "It is up";
}

if (stepsOf()) {
  document.addEventListener("live:presence", follow);
  for (const kind of ["up", "refreshed"]) document.addEventListener("live:" + kind, () => live.open && stepOf("answer").matches(".now") && askWhetherItListens(stepsOf().dataset.steps));
  const since = Date.parse(stepsOf().dataset.since);
  setInterval(() => {
    const timer = document.querySelector("[data-timer]");
    const passed = Math.floor((Date.now() - since) / 1000);
    if (timer && passed >= 0 && passed < 3600) timer.textContent = `${Math.floor(passed / 60)}:${String(passed % 60).padStart(2, "0")}`;
  }, 1000);
}
