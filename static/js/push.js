"use strict";
// Pushes: switches them on in this browser, and says which of the listed browsers it is.
//
// The form with data-push has the portal's public key in data-key and the worker's address in data-worker; what the browser's push
// service gave goes into its hidden fields. Listed browsers have the SHA-256 of their endpoint in data-endpoint.

const form = document.querySelector("[data-push]");
const able = form && "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const digest = async (text) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))), (one) => one.toString(16).padStart(2, "0")).join("");
const say = (text) => Object.assign(form.querySelector("[data-said]"), { textContent: text, hidden: !text });
const registered = () => navigator.serviceWorker.getRegistration(form.dataset.worker);

async function subscription() {
  const worker = await registered();
  return (await worker?.pushManager.getSubscription()) ?? null;
}

// A browser keeps its subscription for one key; one that it has for another key is of an earlier portal at this address.
async function subscribe() {
  await navigator.serviceWorker.register(form.dataset.worker);
  const worker = await navigator.serviceWorker.getRegistration(form.dataset.worker);
  const key = { userVisibleOnly: true, applicationServerKey: bytes(form.dataset.key) };
  if (!worker.active) await new Promise((done) => {
    const coming = worker.installing ?? worker.waiting;
    coming.addEventListener("statechange", () => coming.state === "activated" && done());
  });
  try {
    return await worker.pushManager.subscribe(key);
  } catch (error) {
    if (error.name !== "InvalidStateError") throw error;
    await (await worker.pushManager.getSubscription())?.unsubscribe();
    return worker.pushManager.subscribe(key);
  }
}

function reason(error) {
  if (error.name === "NotAllowedError") return "This browser does not allow notifications of this site. Allow them beside its address, then try again.";
  if (error.name === "AbortError") return "The browser's push service does not answer. Try again in a minute.";
  return error.message || "That did not work. Try again.";
}

async function switchOn(event) {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  say("");
  try {
    const { endpoint, keys } = (await subscribe()).toJSON();
    for (const [name, value] of Object.entries({ endpoint, p256dh: keys.p256dh, auth: keys.auth })) form.elements[name].value = value;
    form.submit();
  } catch (error) {
    say(reason(error));
    button.disabled = false;
  }
}

async function mark() {
  const found = await subscription(), mine = found && document.querySelector(`[data-endpoint="${await digest(found.endpoint)}"]`);
  form.hidden = Boolean(mine);
  if (!mine) return;
  mine.querySelector("[data-this]").hidden = false;
  mine.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await found.unsubscribe().catch(() => false);
    event.target.submit();
  });
}

if (able) {
  form.addEventListener("submit", switchOn);
  mark();
} else if (form) {
  form.querySelector("button").disabled = true;
  form.hidden = false;
  say("This browser cannot be pushed to. It may need the portal's address to begin with https://.");
}
