"use strict";
// The page that waits for a payment: it asks for itself when the portal says that the order's money moved.

document.addEventListener("live:order", ({ detail }) => {
  if (detail.order === document.body.dataset.order) location.reload();
});
