"use strict";
// Passkeys: asks the browser for one, or to make one, and posts what it says with the form.
//
// A form with data-passkey="get" or "create" has what the server wants in data-options, or in data-options-url where it can be
// fetched; a hidden field "credential" takes the answer as JSON. Binary values travel as base64url.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// What the browser takes: the server's options with their binary values as such.
function read({ publicKey }) {
  const known = (list) => list?.map((one) => ({ ...one, id: bytes(one.id) }));
  return {
    ...publicKey,
    challenge: bytes(publicKey.challenge),
    ...(publicKey.user && { user: { ...publicKey.user, id: bytes(publicKey.user.id) } }),
    ...(publicKey.excludeCredentials && { excludeCredentials: known(publicKey.excludeCredentials) }),
    ...(publicKey.allowCredentials && { allowCredentials: known(publicKey.allowCredentials) }),
  };
}

// What the server takes, as PublicKeyCredential.toJSON has it, which browsers of before 2025 lack.
function write(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  if (credential.response.getTransports) response.transports = credential.response.getTransports();
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  };
}

async function wanted(form) {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const answer = await fetch(form.dataset.optionsUrl, { headers: { Accept: "application/json" } });
  if (answer.status === 429) throw new Error("Too many tries. Wait a minute, then try again.");
  if (!answer.ok) throw new Error("The portal did not answer. Try again.");
  return (await answer.json()).request_options;
}

// Why there is no passkey, in words; nothing where the person just changed their mind.
function reason(error, makes, home) {
  if (error.name === "NotAllowedError" || error.name === "AbortError") return makes ? "No passkey was made." : "No passkey was used.";
  if (error.name === "InvalidStateError") return "There is a passkey for this account on it already.";
  if (error.name === "SecurityError") return `Passkeys belong to an address. Open the portal at ${home}.`;
  if (error.name === "NotSupportedError" || error.name === "ConstraintError") return "This device has no way to keep passkeys. A screen lock or a PIN may be missing.";
  return error.message || "That did not work. Try again.";
}

async function ask(event) {
  const form = event.currentTarget, button = event.submitter ?? form.querySelector("button"), said = form.querySelector("[data-said]");
  event.preventDefault();
  const makes = form.dataset.passkey === "create";
  said.hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    const publicKey = read(await wanted(form));
    const credential = await navigator.credentials[makes ? "create" : "get"]({ publicKey });
    form.elements.credential.value = JSON.stringify(write(credential));
    const remember = document.querySelector("form:not([data-passkey]) [name=remember]"); // on the sign-in page, of both ways in
    if (remember?.checked) form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "remember", value: "on" }));
    form.submit();
  } catch (error) {
    said.textContent = reason(error, makes, form.dataset.home);
    said.hidden = false;
    button.removeAttribute("aria-busy");
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = false;
  form.addEventListener("submit", ask);
  for (const element of form.querySelectorAll("[data-js][hidden]")) element.hidden = false;
  if (window.PublicKeyCredential) continue;
  const said = form.querySelector("[data-said]");
  said.textContent = window.isSecureContext ? "This browser has no passkeys." : "Browsers have passkeys on pages with https:// only.";
  said.hidden = false;
  form.querySelector("button").disabled = true;
}
