"use strict";
// Keeps the page as it is on the server: fetches it again when something changed, and now and then.
// Nothing is lost without it: every link and the search work by themselves.
(() => {
  const SOONEST = 1000; // ms between two fetches
  const AT_LEAST = 15000; // ms; counts and ages change without an event
  const light = document.querySelector(".live");
  const device = document.body.dataset.device || "";
  let last = Date.now();
  let due = 0;
  let fetching = false;

  const say = (on) => {
    if (!light) return;
    light.classList.toggle("on", on);
    light.textContent = on ? "live" : "not live";
  };

  const isRead = () => {
    const chosen = document.getSelection();
    return chosen && !chosen.isCollapsed;
  };

  const refresh = async () => {
    due = 0;
    if (fetching || document.hidden || isRead()) return;
    fetching = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = document.querySelector("main");
      const fresh = page.querySelector("main");
      if (!main || !fresh || main.innerHTML === fresh.innerHTML) return;
      const focused = document.activeElement && main.contains(document.activeElement)
        ? document.activeElement.getAttribute("href") : null;
      main.replaceChildren(...fresh.childNodes);
      document.title = page.title;
      if (focused) {
        const again = [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
        if (again) again.focus({ preventScroll: true });
      }
    } catch (error) {
      say(false);
    } finally {
      fetching = false;
    }
  };

  const soon = () => {
    if (!due) due = setTimeout(refresh, Math.max(0, last + SOONEST - Date.now()));
  };

  const watch = () => {
    const source = new EventSource("/live");
    source.addEventListener("open", () => say(true));
    source.addEventListener("error", () => {
      say(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(watch, AT_LEAST);
    });
    source.addEventListener("message", (message) => {
      const changed = JSON.parse(message.data);
      if (!device || changed.more || changed.devices.includes(device)) soon();
    });
  };

  setInterval(() => { if (Date.now() - last >= AT_LEAST) refresh(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  watch();
})();
