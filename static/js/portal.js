"use strict";
// On every page: copy buttons, dialogs, menus, ages that go on ticking. Nothing here is needed to use the portal.

const words = {
  // The same words as iotportal/words.py.
  ms(value, style) {
    if (value === null || value === undefined) return "–";
    if (value >= 1000) return (value / 1000).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }) + " s";
    return value.toFixed(value >= 100 || (style === "list" && value >= 10) ? 0 : 1) + " ms";
  },
  seconds(value) {
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (value >= size * (unit === "min" ? 2 : 1)) return Math.floor(value / size).toLocaleString("en") + " " + unit;
    }
    return value.toFixed(1).replace(/\.0$/, "") + " s";
  },
  ago(iso) {
    const passed = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
    return passed < 2 ? "just now" : words.seconds(Math.floor(passed)) + " ago";
  },
  // Times are shown in the zone of the user's settings, which the server says: the browser's own may be another.
  clock(iso) {
    const options = { timeZone: document.documentElement.dataset.zone || "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    return new Date(iso).toLocaleTimeString("en-GB", options);
  },
};

// Puts a time into an element and lets it tick.
function showAge(element, iso) {
  element.replaceChildren(Object.assign(document.createElement("time"), { dateTime: iso, title: words.clock(iso), textContent: words.ago(iso) }));
  element.firstChild.dataset.age = "";
}

// The time of day in an element, the thousandths in a part of their own, which phones leave out.
function showClock(time, iso, thousandths = true) {
  time.dateTime = iso;
  time.textContent = words.clock(iso);
  if (thousandths) time.append(Object.assign(document.createElement("span"), { className: "fr", textContent: "." + String(new Date(iso).getUTCMilliseconds()).padStart(3, "0") }));
}

function csrfToken() {
  return document.cookie.match(/(?:^|; )(?:__Host-)?csrftoken=([^;]+)/)?.[1] ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-age]")) {
    const said = words.ago(time.dateTime);
    if (time.textContent !== said) time.textContent = said;
  }
}, 1000);

async function copyFrom(button) {
  const source = document.querySelector(button.dataset.copy);
  const text = source.textContent.trim().replace(source.matches(".idbig") ? /\s+/g : /$^/, "");
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no clipboard on plain http: select it, so that Ctrl-C is all that is left to do
    getSelection().selectAllChildren(source);
    return;
  }
  const word = button.querySelector("[data-word]"), use = button.querySelector("use");
  const before = [word?.textContent, use.getAttribute("href")];
  button.style.minWidth = button.offsetWidth + "px"; // from script, so the policy on styles is kept
  if (word) word.textContent = "Copied";
  use.setAttribute("href", before[1].replace(/#.*/, "#copy-check"));
  setTimeout(() => {
    if (word) word.textContent = before[0];
    use.setAttribute("href", before[1]);
  }, 2000);
}

// Shows what only works with this script.
function wake(root) {
  for (const element of root.querySelectorAll("[data-copy][hidden], [data-js][hidden]")) element.hidden = false;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copyFrom(button);
  const opener = event.target.closest("[data-dialog]");
  const dialog = opener && document.getElementById(opener.dataset.dialog);
  if (dialog) {
    event.preventDefault();
    dialog.showModal();
  }
  event.target.closest("[data-close]")?.closest("dialog").close();
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("htmx:configRequest", (event) => (event.detail.headers["X-CSRFToken"] = csrfToken()));
document.addEventListener("htmx:load", (event) => wake(event.detail.elt));
wake(document);
