"use strict";
// The page that a buyer comes back to: it asks for itself when the portal says that the order's money moved, and shows the new
// balance over everything else.

document.addEventListener("live:order", ({ detail }) => {
  if (detail.order === document.body.dataset.order) location.reload();
});
// What came between the page and its live link is on a page that is asked for now.
document.addEventListener("live:up", () => refresh("order"));
document.addEventListener("live:refreshed", () => {
  if (!document.querySelector("#order [data-waiting]")) location.reload();
});

const done = document.getElementById("done");
if (done) {
  done.close();
  done.showModal();
}
