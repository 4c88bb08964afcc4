/* The page with the six-digit code: it works without this; this counts down to the next code and takes any pasted text. */
"use strict";

const field = document.querySelector(".six");
field?.addEventListener("paste", (event) => {
  const digits = event.clipboardData.getData("text").replace(/\D/g, "").slice(0, 6);
  if (digits) {
    event.preventDefault();
    field.value = digits;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
});

// The words beside the button say how long to wait; here they count down, and the button waits with them. A screen reader hears the
// number when it gets to the button, not each second.
const again = document.querySelector("button[data-wait]");
const said = document.getElementById("wait");
const readyAt = Date.now() + Number(again?.dataset.wait ?? 0) * 1000;

function countDown() {
  const left = Math.ceil((readyAt - Date.now()) / 1000);
  again.disabled = left > 0;
  if (said) said.textContent = left > 0 ? `possible in ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "";
  if (left > 0) setTimeout(countDown, 250);
}

if (again) countDown();
