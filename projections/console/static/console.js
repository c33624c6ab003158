"use strict";
// Adds decisions to the list as they come; without it the page shows the last ones.
(() => {
  const list = document.getElementById("live"), state = document.getElementById("live-state");
  const button = document.getElementById("pause");
  let paused = false, held = [];
  const show = (html) => {
    const made = document.createElement("template");
    made.innerHTML = html;
    list.querySelector(".empty")?.remove();
    list.prepend(made.content);
    while (list.children.length > 50) list.lastElementChild.remove();
  };
  const source = new EventSource("/live");
  source.addEventListener("open", () => { state.textContent = "Live."; });
  source.addEventListener("error", () => { state.textContent = "The connection is lost; trying again."; });
  source.addEventListener("away", () => { state.textContent = "The ledger does not answer; trying again."; });
  source.addEventListener("decision", (event) => {
    if (!paused) { show(event.data); return; }
    held.push(event.data);
    held = held.slice(-50);
    button.textContent = `Go on (${held.length} new)`;
  });
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    if (!paused) { held.forEach(show); held = []; }
    button.textContent = paused ? "Go on" : "Pause";
    state.textContent = paused ? "Paused." : "Live.";
  });
})();
