"use strict";
// The emulator's page: asks again when something changed on the board, and keeps the newest line of its terminal in sight.

let asking = null;
function ask() {
  asking ??= setTimeout(() => {
    asking = null;
    refresh("emulator-lamp", "emulator-state", "emulator-how", "lamps", "switches", "its-clock", "emulator-con", "network");
  }, 60);
}

document.addEventListener("live:emulator", ({ detail }) => (detail.state === "stopped" ? location.reload() : ask()));

// Whether it can be started depends on who is connected.
document.addEventListener("live:presence", () => document.getElementById("emulator-start") && refresh("emulator-start"));

function newest() {
  const con = document.getElementById("emulator-con");
  if (con) con.scrollTop = con.scrollHeight;
}

// The board's clock goes on from what the page last said; a refresh brings a new element.
function tickClock() {
  const clock = document.querySelector("[data-clock]");
  if (!clock) return;
  clock.since ??= performance.now();
  const now = new Date((Number(clock.dataset.clock) + (performance.now() - clock.since) / 1000) * 1000);
  clock.textContent = `${now.toISOString().slice(11, 19)} UTC`;
}
setInterval(tickClock, 1000);

document.addEventListener("live:refreshed", newest);
document.addEventListener("htmx:afterSettle", newest);
newest();
