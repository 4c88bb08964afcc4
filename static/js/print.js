"use strict";
// The page of recovery codes: its button prints it; without a script the browser's own menu does.
for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
