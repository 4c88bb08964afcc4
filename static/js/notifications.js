"use strict";
// Notifications: a list or a page of one asks again when one of them is a step further, many steps at once.
let telling = null;
document.addEventListener("live:notification", () => {
  telling ??= setTimeout(() => {
    telling = null;
    refresh("sent", "rows", "state");
  }, 150);
});
