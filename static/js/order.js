"use strict";
// The page that a buyer comes back to: it asks for itself when the portal says that the order's money moved, and shows the new
// balance over everything else.

document.addEventListener("live:order", ({ detail }) => {
  if (detail.order === document.body.dataset.order) location.reload();
});
document.addEventListener("live:refreshed", () => {
  if (!document.querySelector("#order [data-waiting]")) location.reload();
});

const done = document.getElementById("done");
if (done) {
  done.close();
  done.showModal();
}
