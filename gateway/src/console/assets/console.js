// The console's one script. Every page works without it; it adds copying, local times, a shortcut and fresh regions.
"use strict";
(() => {
  document.documentElement.classList.add("js");
  const status = document.getElementById("status");
  const say = (text) => { if (status) { status.textContent = ""; setTimeout(() => { status.textContent = text; }, 50); } };

  // Times: from UTC to the viewer's zone; the exact one stays on hover.
  const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const exact = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
  const local = (root) => root.querySelectorAll("time[datetime]").forEach((one) => {
    const at = new Date(one.dateTime);
    if (Number.isNaN(at.getTime())) return;
    one.title = exact.format(at);
    if (one.dataset.show === "at") one.textContent = minute.format(at);
  });

  // Copying. Without a secure context the text is selected instead, and said how to go on.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const source = button.dataset.copy ? null : document.getElementById(button.dataset.copyFrom);
    const text = source ? (source.value ?? source.textContent) : button.dataset.copy;
    const before = button.dataset.label || (button.dataset.label = button.textContent);
    try {
      await navigator.clipboard.writeText(text);
      button.lastChild.textContent = "Copied";
      say("Copied");
    } catch {
      if (source) { if (source.select) source.select(); else getSelection().selectAllChildren(source); }
      button.lastChild.textContent = "Press Ctrl+C";
      say("Press Ctrl+C to copy");
    }
    setTimeout(() => { button.lastChild.textContent = before; }, 2500);
  });

  // Showing a secret that is being typed; downloading one that is shown once; printing.
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest("button[data-reveal]");
    if (toggle) {
      const input = document.getElementById(toggle.dataset.reveal);
      const hidden = input.type === "password";
      input.type = hidden ? "text" : "password";
      toggle.setAttribute("aria-pressed", String(hidden));
    }
    const save = event.target.closest("button[data-download]");
    if (save) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([document.getElementById(save.dataset.from).textContent + "\n"], { type: "text/plain" }));
      link.download = save.dataset.download;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  });

  // A form that was sent shows that it is under way. It stays usable: a second send is harmless.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button && event.target.method === "post" && !button.closest(".seg")) button.classList.add("busy-button");
  });
  addEventListener("pageshow", () => document.querySelectorAll(".busy-button").forEach((one) => one.classList.remove("busy-button")));

  // "/" goes to the search box; Escape closes an open menu. No key changes anything.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const open = document.querySelector("details.menu[open]");
      if (open) { open.open = false; open.querySelector("summary").focus(); }
      return;
    }
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const box = document.getElementById("search");
    if (box) { event.preventDefault(); box.focus(); box.select(); }
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.menu[open]").forEach((one) => { if (!one.contains(event.target)) one.open = false; });
  });

  // Fresh regions: the page is asked for again every so often, and its elements with the same data-live are taken over,
  // unless one is being used. It stops while the page is hidden, paused, or signed out.
  const every = 10000;
  let paused = false;
  const pause = document.getElementById("pause");
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Resume updates" : "Pause updates";
    });
  }
  const refresh = async () => {
    if (document.hidden || paused) return;
    try {
      const answer = await fetch(location.href, { headers: { "x-live": "1" } });
      if (!answer.ok || answer.redirected) throw new Error("stopped");
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      let changed = false;
      document.querySelectorAll("[data-live]").forEach((old) => {
        const next = fresh.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
        if (!next || old.contains(document.activeElement) || old.querySelector("details[open]")) return;
        local(next);
        if (next.isEqualNode(old)) return;
        old.replaceWith(document.importNode(next, true));
        changed = changed || next.dataset.say === "1";
      });
      if (changed) say("Updated");
    } catch {
      clearInterval(timer);
      say("Live view stopped. Reload to see newer ones.");
    }
  };
  const timer = document.querySelector("[data-live]") ? setInterval(refresh, every) : 0;

  local(document);
  const errors = document.getElementById("errors");
  if (errors) errors.focus();
})();
