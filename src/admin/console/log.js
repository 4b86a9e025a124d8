// What happens, the newest first: followed live, and gone on with behind the last that was seen after a break.

import { h, isolated, setAttribute, setText } from "./dom.js";
import { causeOf } from "./advice.js";
import { feed } from "./feed.js";
import { setTime } from "./units.js";
import { Windowed, filterField, fits } from "./windowed.js";
import { t } from "./words.js";

const FAMILIES = ["presence", "stream", "recording", "gap", "registry", "route", "play", "disk", "config"];

export class LogView {
  constructor(signal) {
    this.filter = "";
    this.hidden = new Set();
    const field = filterField(t("filter"), (text) => { this.filter = text; this.draw(); });
    const boxes = FAMILIES.map((family) => {
      const box = h("input", { type: "checkbox", checked: true, onchange: () => { if (box.checked) this.hidden.delete(family); else this.hidden.add(family); this.draw(); } });
      return h("label", { class: "check" }, box, t(`family_${family}`));
    });
    this.state = h("span", { class: "sum", role: "status" });
    this.window = new Windowed({ label: t("tab_events"), signal, keyOf: (e) => e.id, make: () => row(), update: (element, event) => element.show(event) });
    this.element = h("section", { class: "log", "aria-label": t("tab_events") }, h("div", { class: "bar" }, field, h("span", { class: "group wrap" }, boxes), this.state), this.window.element);
    feed.on("event", signal, () => this.drawSoon());
    feed.on("away", signal, () => this.draw());
    this.drawSoon();
  }

  /** A burst of events is drawn once. */
  drawSoon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const seen = feed.events.filter((e) => !this.hidden.has(e.kind.split(".")[0]) && fits(this.filter, e.kind, e.subject, JSON.stringify(e.data ?? "")));
    this.window.set(seen.reverse());
    setText(this.state, feed.away ? t("log_broken") : seen.length === 0 ? t("log_empty") : t("log_following"));
  }
}

function row() {
  const time = h("time");
  const kind = h("span", { class: "kind" });
  const subject = h("bdi", { class: "subject" });
  const data = h("bdi", { class: "data dim" });
  const element = h("div", { class: "event-row" }, time, kind, subject, data);
  element.show = (event) => {
    if (element.dataset.event === String(event.id)) return;
    element.dataset.event = event.id;
    setTime(time, Date.parse(event.time));
    setText(kind, event.kind);
    setText(subject, event.subject.slice(0, 200));
    setText(data, words(event));
    setAttribute(data, "title", JSON.stringify(event.data ?? {}).slice(0, 1_000));
  };
  return element;
}

/** What an event has more, as short as it can be said. */
function words({ data }) {
  if (!data) return "";
  return Object.entries(data).filter(([, v]) => v !== null && v !== "").map(([k, v]) => `${k}: ${k === "cause" ? causeOf(v) : isolated(typeof v === "object" ? JSON.stringify(v) : v)}`).join(" · ").slice(0, 500);
}
