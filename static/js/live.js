"use strict";
// The page's one WebSocket. Events become DOM events on `document` ("live:message", "live:presence" …); commands become promises.
// While it is down the page asks for itself every 5 s, and after each reconnection once: `refresh` swaps every [data-refresh].

const live = { socket: null, open: false, seen: false, tries: 0, refs: 0, waiting: new Map() };

function lamp(state, text) {
  const link = document.getElementById("link");
  if (!link) return;
  link.hidden = false;
  const led = link.querySelector(".led");
  led.className = "led " + state;
  led.setAttribute("aria-label", state === "on" ? "Live updates are connected" : "Live updates are not connected");
  link.querySelector("[data-text]").textContent = text;
  document.body.classList.toggle("cut-off", state !== "on");
}

function connect() {
  const url = new URL(document.body.dataset.live, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = (live.socket = new WebSocket(url));
  socket.onopen = () => {
    const { watch, since } = document.body.dataset;
    socket.send(JSON.stringify({ do: "watch", since, ...(watch === "all" ? { all: true } : { devices: watch.split(" ") }) }));
  };
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = (event) => {
    live.open = false;
    for (const [ref, waiting] of live.waiting) {
      live.waiting.delete(ref);
      waiting({ ok: false, problem: { status: 0, code: "link_lost", detail: "The page lost its connection to the portal. The device may or may not have got the command." } });
    }
    document.dispatchEvent(new CustomEvent("live:down"));
    // Trying again would not help, and what the page shows is no longer this person's to see: the server asks who is there.
    // A page that never was live asks without a reload: should the server show it and yet keep it out, it would go on for ever.
    if (event.code === 4401) {
      lamp("", "Signed out");
      return live.seen ? location.reload() : refresh();
    }
    retry();
  };
}

function retry() {
  let left = Math.min(30, 2 ** live.tries++);
  lamp("", `Reconnecting, ${left} s`);
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) return lamp("", `Reconnecting, ${left} s`);
    clearInterval(timer);
    lamp("", "Reconnecting");
    connect();
  }, 1000);
}

function receive(frame) {
  if (frame.kind === "watching") { // subscribed first, so nothing falls between the refreshed page and the first event
    const again = live.tries > 0 || frame.changed; // since the page was asked for
    live.open = live.seen = true;
    live.tries = 0;
    lamp("on", "Live");
    document.dispatchEvent(new CustomEvent("live:up"));
    if (again) refresh();
  } else if (frame.kind === "events") {
    for (const event of frame.events) document.dispatchEvent(new CustomEvent("live:" + event.kind, { detail: event }));
  } else if (frame.kind === "result") {
    live.waiting.get(frame.ref)?.(frame);
    live.waiting.delete(frame.ref);
  } else if (frame.kind === "access") { // another role, or none any more: what may be done here has changed
    location.assign(location.pathname + location.search);
  }
}

// Sends a command; resolves to the result frame, whatever became of it.
function command(device, api, args, timeout) {
  const ref = "c" + ++live.refs;
  const answer = new Promise((resolve) => live.waiting.set(ref, resolve));
  const frame = { do: "command", ref, device, api, arguments: args };
  if (timeout) frame.timeout = timeout;
  live.socket.send(JSON.stringify(frame));
  return answer;
}

// Swaps the parts of the page (or those named) for what the server says now; leaves alone what a person is using.
// One at a time, so that an older answer never overwrites a newer one.
let refreshing = Promise.resolve(), asked = null, over = false;
function refresh(...ids) {
  if (over) return refreshing; // the server has no such page any more
  if (asked) { // one is waiting for its turn: it asks for these too
    asked = asked.length && ids.length ? [...asked, ...ids] : [];
    return refreshing;
  }
  asked = ids;
  return (refreshing = refreshing.then(() => {
    const now = asked;
    asked = null;
    return swap(now);
  }));
}

async function swap(ids) {
  let text;
  try {
    const response = await fetch(location.href, { cache: "no-store", headers: { "X-Refresh": ids.join(" ") || "all" } });
    if (!response.ok) return;
    if (response.redirected) return location.assign(response.url); // signed out, or moved
    text = await response.text();
  } catch {
    return; // the next try will tell
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-refresh]")) {
    if (ids.length && !ids.includes(part.id)) continue;
    const news = fresh.getElementById(part.id);
    if (!news && part.dataset.refresh === "whole") { // without it the page is another: the last device is gone
      const main = document.adoptNode(fresh.querySelector("main"));
      document.querySelector("main").replaceWith(main);
      window.htmx?.process(main);
      return wake(main);
    }
    const busy = part.querySelector(".pending, details.menu[open], [aria-busy=true]") || part.contains(document.activeElement);
    if (!news || busy) continue;
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    part.replaceWith(document.adoptNode(news));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    window.htmx?.process(news);
    wake(news);
    document.dispatchEvent(new CustomEvent("live:refreshed", { detail: { part: news } }));
  }
}

setInterval(() => {
  if (!live.open && !document.hidden) refresh();
}, 5000);

// Copies a <template> and fills it: {name: text} by data-name, times by data-time.
function fromTemplate(id, texts) {
  const node = document.getElementById(id).content.firstElementChild.cloneNode(true);
  for (const [name, text] of Object.entries(texts)) {
    for (const place of node.querySelectorAll(`[data-${name}]`)) place.textContent = text;
  }
  return node;
}

// Names of devices, as far as the page knows them.
const names = new Map();
function nameOf(hex) {
  const shown = names.get(hex) ?? document.querySelector(`[data-device="${hex}"] [data-name], [data-from="${hex}"] [data-name], option[value="${hex}"]`)?.textContent;
  if (shown) names.set(hex, shown);
  return shown ?? hex.slice(0, 8) + "…";
}

document.addEventListener("live:device", ({ detail }) => {
  names.set(detail.device, detail.name);
  for (const place of document.querySelectorAll(`[data-device="${detail.device}"] [data-name]`)) place.textContent = detail.name;
  if (detail.change === "deleted" && location.pathname.startsWith(`/devices/${detail.device}/`)) end(detail.name);
});

// The page's device was deleted, here or elsewhere: what the page shows stays readable, and nothing on it can be used.
function end(name) {
  over = true;
  lamp("", "Deleted");
  const main = document.querySelector("main"), note = document.createElement("div");
  for (const part of main.children) part.inert = true;
  note.className = "note bad";
  note.role = "alert";
  note.append(`${name} was deleted. Its history stays. `);
  note.append(Object.assign(document.createElement("a"), { href: "/devices/", textContent: "All devices" }));
  main.prepend(note);
}

document.addEventListener("live:presence", ({ detail }) => {
  for (const place of document.querySelectorAll(`[data-device="${detail.device}"]`)) {
    const led = place.querySelector(".led");
    if (!led) continue; // the history's rows name a device too
    place.classList.toggle("off", !detail.connected);
    led.className = led.className.replace(/\b(on|wait|bad)\b/g, "") + (detail.connected ? " on" : "");
    led.setAttribute("aria-label", detail.connected ? "online" : "offline");
    const seen = place.querySelector("[data-seen]");
    const heard = [detail.last_message_at, detail.connected_at].filter(Boolean).sort().at(-1);
    if (seen && heard) showAge(seen, heard);
    const why = place.querySelector("[data-why]");
    if (why) {
      why.textContent = detail.reason === "goodbye" ? "" : detail.reason_text;
      why.hidden = detail.connected || !why.textContent;
    }
  }
});

// What a device's own page and Control say of its last message and answer.
document.addEventListener("live:message", ({ detail }) => {
  const place = document.querySelector("[data-last-message]");
  if (place && detail.direction === "from" && document.body.dataset.watch === detail.device) showAge(place, detail.time);
});
document.addEventListener("live:command", ({ detail }) => {
  const place = document.querySelector("[data-last-answer]"), took = document.querySelector("[data-last-answer-ms]");
  if (!place || detail.answered_ms === null || document.body.dataset.watch !== detail.device) return;
  const when = document.createElement("span");
  showAge(when, new Date(Date.parse(detail.time) + detail.answered_ms).toISOString());
  took.textContent = words.ms(detail.answered_ms);
  place.replaceChildren(" ", Object.assign(document.createElement("code"), { textContent: detail.api }), ", ", when);
});

if (document.body.dataset.live) {
  lamp("wait", "Connecting");
  connect();
}
