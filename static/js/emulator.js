"use strict";
// The emulator's page: asks again when something changed on the board, and keeps the newest line of its terminal in sight.

let asking = null;
function ask() {
  asking ??= setTimeout(() => {
    asking = null;
    refresh("emulator-state", "emulator-how", "lamps", "switches", "its-clock", "emulator-con", "network");
  }, 60);
}

document.addEventListener("live:emulator", ({ detail }) => (detail.state === "stopped" ? location.reload() : ask()));

function newest() {
  const con = document.getElementById("emulator-con");
  if (con) con.scrollTop = con.scrollHeight;
}

document.addEventListener("live:refreshed", newest);
document.addEventListener("htmx:afterSettle", newest);
newest();
