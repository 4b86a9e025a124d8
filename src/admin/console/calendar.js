// A month of one stream: each day with the part of it that is there.

import { button, h, setAttribute, setText } from "./dom.js";
import { Track } from "./track.js";
import { feed } from "./feed.js";
import { day, dayStart, monthName, monthStart, percent } from "./units.js";
import { language, t } from "./words.js";

export class Calendar {
  /** `onDay(from, to)` is called with the day that was chosen. */
  constructor(onDay, signal) {
    Object.assign(this, { onDay, signal, month: monthStart(Date.now()), key: null, track: null });
    this.title = h("strong", { "aria-live": "polite" });
    this.days = h("div", { class: "days" });
    const weekday = new Intl.DateTimeFormat(language, { weekday: "narrow" });
    // 2024-01-01 was a Monday.
    const names = Array.from({ length: 7 }, (_, n) => h("span", { class: "dim", "aria-hidden": "true" }, weekday.format(new Date(2024, 0, 1 + n))));
    this.element = h("section", { class: "calendar", "aria-label": t("calendar") },
      h("div", { class: "bar" }, button("‹", { "aria-label": t("month_before") }, () => this.turn(-1)), this.title, button("›", { "aria-label": t("month_after") }, () => this.turn(1))),
      h("div", { class: "days names" }, names), this.days);
    this.draw();
  }

  turn(by) {
    this.month = monthStart(this.month, by);
    this.draw();
    this.load();
  }

  show(key, time) {
    const month = monthStart(time);
    if (key === this.key && month === this.month) return;
    if (key !== this.key) this.track = key ? new Track(key) : null;
    Object.assign(this, { key, month });
    this.draw();
    this.load();
  }

  async load() {
    const { track } = this;
    try {
      await track?.load(this.month, monthStart(this.month, 1), this.signal);
    } catch {
      return;
    }
    if (track === this.track) this.draw();
  }

  draw() {
    setText(this.title, monthName(this.month));
    const next = monthStart(this.month, 1);
    const cells = [];
    const lead = (new Date(this.month).getDay() + 6) % 7;
    for (let n = 0; n < lead; n += 1) cells.push(h("span"));
    for (let from = this.month; from < next; from = dayStart(from, 1)) {
      const to = dayStart(from, 1);
      const part = this.track?.coverage(from, Math.min(to, feed.now())) ?? null;
      const label = `${new Date(from).getDate()} · ${monthName(from)}: ${part === null ? t("no_footage") : t("covered", { part: percent(part) })}`;
      const bar = h("span", { class: "fill" });
      bar.style.width = `${(part ?? 0) * 100}%`;
      const cell = button("", { class: "day", "aria-label": label, title: label, disabled: from > feed.now(), "data-day": day(from) }, () => this.onDay(from, to));
      cell.append(h("span", {}, String(new Date(from).getDate())), h("span", { class: "amount" }, bar));
      setAttribute(cell, "aria-current", day(from) === day(Date.now()) ? "date" : null);
      cells.push(cell);
    }
    this.days.replaceChildren(...cells);
  }
}
