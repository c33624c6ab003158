"use strict";
// Adds decisions to the list as they come, and then brings the figures up to date; without it the page shows the last ones.
(() => {
  const FIGURES_EVERY_MS = 10_000, MOST_ROWS = 50;
  const list = document.getElementById("live"), state = document.getElementById("live-state");
  const button = document.getElementById("pause");
  let paused = false, held = [], stale = false;

  const show = (html) => {
    const made = document.createElement("template");
    made.innerHTML = html;
    list.querySelector(".empty")?.remove();
    list.prepend(made.content);
    while (list.children.length > MOST_ROWS) list.lastElementChild.remove();
  };
  const say = (words) => { if (state.textContent !== words) state.textContent = words; };

  // A browser keeps but a few connections to one server, and every open tab would take one: a hidden tab gives its back.
  let source = null, seen = "";
  const listen = () => {
    source = new EventSource(seen ? `/live?seen=${encodeURIComponent(seen)}` : "/live");
    source.addEventListener("open", () => { say(paused ? "Paused." : "Live."); });
    source.addEventListener("back", () => { say(paused ? "Paused." : "Live."); });
    source.addEventListener("error", () => { say("The connection is lost; trying again."); });
    source.addEventListener("away", () => { say("The ledger does not answer; trying again."); });
    source.addEventListener("place", (event) => { seen = event.lastEventId; });
    source.addEventListener("decision", (event) => {
      stale = true;
      if (!paused) { show(event.data); return; }
      held.push(event.data);
      held = held.slice(-MOST_ROWS);
      button.textContent = `Go on (${held.length} new)`;
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else if (!source) { listen(); }
  });
  listen();

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    if (!paused) { held.forEach(show); held = []; }
    button.textContent = paused ? "Go on" : "Pause";
    say(paused ? "Paused." : "Live.");
  });

  setInterval(async () => {
    if (!stale || paused || document.hidden) return;
    stale = false;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const section of document.querySelectorAll("[data-fresh]")) {
        const name = section.getAttribute("aria-labelledby");
        const made = fresh.querySelector(`[data-fresh][aria-labelledby="${name}"]`);
        if (made && !section.contains(document.activeElement)) section.replaceChildren(...made.childNodes);
      }
    } catch { stale = true; }
  }, FIGURES_EVERY_MS);
})();
