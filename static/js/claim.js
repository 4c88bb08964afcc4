// A claim code comes in the address's fragment, which no server and no log gets to see: put it where it is typed. It waits in this
// tab for whoever has to sign in first.
const WAITING = "claim-code";
if (location.hash.length > 1) {
  sessionStorage.setItem(WAITING, location.hash.slice(1, 101));
  history.replaceState(null, "", location.pathname);
}
const code = sessionStorage.getItem(WAITING);
const field = document.querySelector("#id_code");
const shown = document.querySelector("[data-claim-code]");
if (code && field) {
  if (!field.value) field.value = code;
  sessionStorage.removeItem(WAITING);
}
if (code && shown) {
  shown.textContent = code;
  shown.closest("[hidden]").hidden = false;
}
