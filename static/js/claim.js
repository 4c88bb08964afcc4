// A claim code comes in the address's fragment, which no server and no log gets to see: put it where it is typed.
const code = decodeURIComponent(location.hash.slice(1));
const field = document.querySelector("#id_code");
if (code && field && !field.value) {
  field.value = code.slice(0, 100);
  history.replaceState(null, "", location.pathname);
}
