// The live grid: cameras in tiles that play while they are seen.

import { button, h, keep, setAttribute, setText } from "./dom.js";
import { feed } from "./feed.js";
import { nothing } from "./empty.js";
import { Tile } from "./tile.js";
import { byChannel, channelOf } from "./units.js";
import { t } from "./words.js";

const SIZES = [1, 4, 9, 16];
const SIZE_KEY = "skyvis-grid";

export function open(root, argument, signal) {
  const page = new LivePage(root, signal);
  page.go(argument);
  return page;
}

class LivePage {
  constructor(root, signal) {
    this.tiles = new Map();
    this.first = 0;
    this.size = Number(localStorage.getItem(SIZE_KEY)) || null;
    this.sizes = SIZES.map((n) => button(String(n), { "data-size": n, "aria-label": t("grid_of", { n }) }, () => this.resize(n)));
    this.where = h("span", { class: "dim" });
    this.back = button("‹", { "aria-label": t("cameras_before") }, () => this.turn(-1));
    this.on = button("›", { "aria-label": t("cameras_after") }, () => this.turn(1));
    const full = button(t("full_screen"), { "data-full": true }, () => (document.fullscreenElement ? document.exitFullscreen() : this.stage.requestFullscreen()));
    this.bar = h("div", { class: "bar" }, h("h1", { class: "unseen" }, t("page_live")),
      h("span", { class: "group", role: "group", "aria-label": t("grid_size") }, this.sizes), full,
      h("span", { class: "group turn" }, this.back, this.where, this.on));
    this.grid = h("div", { class: "grid" });
    this.stage = h("section", { class: "stage", "aria-label": t("page_live") }, this.grid);
    this.empty = nothing("cameras");
    root.append(this.bar, this.empty, this.stage);
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const tile = this.tiles.get(entry.target.dataset.stream);
        if (tile) { tile.visible = entry.isIntersecting; tile.choose(); }
      }
    }, { threshold: 0.05 });
    document.addEventListener("visibilitychange", () => this.tiles.forEach((tile) => tile.choose()), { signal });
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    feed.on("change", signal, () => this.update());
    feed.measure(signal);
    const timer = setInterval(() => this.tiles.forEach((tile) => tile.showAge()), 1_000);
    signal.addEventListener("abort", () => { clearInterval(timer); this.close(); });
  }

  /** `nvr1/3`: that camera alone; empty: the grid. */
  go(argument) {
    this.alone = argument || null;
    this.update();
    return true;
  }

  resize(n) {
    this.size = n;
    localStorage.setItem(SIZE_KEY, n);
    if (this.alone) location.hash = "#/live";
    else this.update();
  }

  turn(by) {
    this.first = Math.max(0, this.first + by * this.shownMax());
    this.update();
  }

  key(event) {
    if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    const sizes = { 1: 1, 2: 4, 3: 9, 4: 16 };
    if (sizes[event.key]) this.resize(sizes[event.key]);
    else if (event.key === "PageDown") this.turn(1);
    else if (event.key === "PageUp") this.turn(-1);
    else if (event.key === "Escape" && this.alone && !document.fullscreenElement) location.hash = "#/live";
    else return;
    event.preventDefault();
  }

  /** Without a choice, as many as there are cameras, in reason. */
  shownMax() {
    if (this.alone) return 1;
    return this.size ?? SIZES.find((n) => n >= this.channels.length) ?? SIZES.at(-1);
  }

  update() {
    const channels = new Map();
    for (const stream of feed.streams.values()) {
      const channel = channelOf(stream.key);
      if (!channels.has(channel)) channels.set(channel, []);
      channels.get(channel).push(stream);
    }
    this.channels = [...channels.keys()].sort(byChannel);
    const most = this.shownMax();
    if (this.first >= this.channels.length) this.first = Math.max(0, Math.floor((this.channels.length - 1) / most) * most);
    const shown = this.alone ? this.channels.filter((c) => c === this.alone) : this.channels.slice(this.first, this.first + most);
    for (const [channel, tile] of this.tiles) if (!shown.includes(channel) || tile.large !== (most === 1)) this.remove(channel);
    for (const channel of shown) {
      if (this.tiles.has(channel)) continue;
      const tile = new Tile(channel, most === 1);
      this.tiles.set(channel, tile);
      this.observer.observe(tile.element);
    }
    keep(this.grid, shown, (channel) => `${channel} ${most === 1}`, (channel) => this.tiles.get(channel).element);
    const across = most === 1 ? 1 : Math.ceil(Math.sqrt(Math.min(most, Math.max(shown.length, 1))));
    this.grid.style.setProperty("--across", across);
    this.grid.style.setProperty("--down", Math.ceil(Math.max(shown.length, 1) / across));
    shown.forEach((channel) => this.tiles.get(channel).update(channels.get(channel)));
    this.sizes.forEach((b) => setAttribute(b, "aria-pressed", String(Number(b.dataset.size) === most)));
    const more = !this.alone && this.channels.length > most;
    this.bar.querySelector(".turn").hidden = !more;
    [this.back.disabled, this.on.disabled] = [this.first === 0, this.first + most >= this.channels.length];
    setText(this.where, t("of_all", { from: this.first + 1, to: this.first + shown.length, all: this.channels.length }));
    this.empty.hidden = feed.status === null || this.channels.length > 0;
    this.stage.hidden = this.channels.length === 0;
  }

  remove(channel) {
    const tile = this.tiles.get(channel);
    this.observer.unobserve(tile.element);
    tile.stop();
    tile.element.remove();
    this.tiles.delete(channel);
  }

  close() {
    this.observer.disconnect();
    for (const tile of this.tiles.values()) tile.stop();
  }
}
