// A list of any length of which only what is seen is in the page. Rows are of one height, which the style sheet says.

import { h, keep, setAttribute } from "./dom.js";

/** Rows beyond the edge of what is seen. */
const SPARE = 6;

export class Windowed {
  /** `make(item)` gives a row's element, `update(element, item)` brings it up to date; `keyOf(item)`. */
  constructor({ make, update, keyOf, label, signal, onSeen = () => {} }) {
    Object.assign(this, { make, update, keyOf, onSeen, items: [] });
    this.rows = h("div", { class: "window-rows", role: "list", "aria-label": label });
    this.element = h("div", { class: "window", tabindex: "0", role: "region", "aria-label": label }, this.rows);
    addEventListener("scroll", () => this.draw(), { signal, passive: true });
    addEventListener("resize", () => this.draw(), { signal, passive: true });
  }

  set(items) {
    this.items = items;
    this.draw();
  }

  get rowHeight() {
    return parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 48;
  }

  draw() {
    if (!this.element.isConnected) return;
    const height = this.rowHeight;
    const { top } = this.element.getBoundingClientRect();
    const first = Math.max(0, Math.floor(-top / height) - SPARE);
    const last = Math.min(this.items.length, Math.ceil((innerHeight - top) / height) + SPARE);
    const shown = this.items.slice(first, last);
    this.element.style.height = `${this.items.length * height}px`;
    this.rows.style.transform = `translateY(${first * height}px)`;
    keep(this.rows, shown, this.keyOf, (item) => {
      const element = this.make(item);
      element.setAttribute("role", "listitem");
      return element;
    }, this.update);
    [...this.rows.children].forEach((row, n) => {
      setAttribute(row, "aria-setsize", this.items.length);
      setAttribute(row, "aria-posinset", first + n + 1);
    });
    this.onSeen(shown);
  }
}

/** A field that says which items are seen, by words that each has. */
export function filterField(label, onInput) {
  return h("input", { type: "search", placeholder: label, "aria-label": label, spellcheck: "false", oninput: (event) => onInput(event.target.value) });
}

export const fits = (filter, ...texts) => {
  const all = texts.join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => all.includes(word));
};
