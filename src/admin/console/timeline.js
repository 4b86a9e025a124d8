// The timeline: a strip per camera, and the players of what is chosen.

import { button, h, icon, isolated, keep, named, setAttribute, setText, settle } from "./dom.js";
import { CAUSE_KINDS, causeOf } from "./advice.js";
import { Calendar } from "./calendar.js";
import { Cut } from "./cut.js";
import { feed } from "./feed.js";
import { nothing } from "./empty.js";
import { Thumb } from "./thumb.js";
import { ticks } from "./scale.js";
import { SEATS_MAX, Group } from "./step.js";
import { colours, paint } from "./strip.js";
import { Track } from "./track.js";
import { byChannel, channelOf, day, dayStart, duration, iso, moment, monthStart, setTime, shortKey } from "./units.js";
import { t } from "./words.js";

const DAY_MS = 86_400_000;
const SHOWN_MS_MIN = 1_000;
const SHOWN_MS_MAX = 62 * DAY_MS;
const ZOOMS = [["month", null], ["week", 7 * DAY_MS], ["day", null], ["hour", 3_600_000], ["minute", 60_000], ["second", 1_000]];
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
/** A day with less footage than this is shown zoomed in on it. */
const SPARSE_MS = 2 * 3_600_000;
const STEP_MS = 10_000;
const FINE_STEP_MS = 1_000;
/** Whoever moved the strips is not moved back for so long. */
const LOOKS_MS = 20_000;
/** What grows is drawn so often. */
const DRAW_MS = 1_000;
const GAPS_LISTED_MAX = 200;

export function open(root, argument, signal) {
  return new TimelinePage(root, argument, signal);
}

class TimelinePage {
  constructor(root, argument, signal) {
    Object.assign(this, { signal, tracks: new Map(), rows: new Map(), chosen: [], time: null, extra: null });
    [this.from, this.to] = [dayStart(Date.now()), dayStart(Date.now(), 1)];
    this.fit = true;
    this.colours = colours();
    this.group = new Group({ signal, onTime: (time) => this.showTime(time), trackOf: (key) => this.tracks.get(key), nameOf: (key) => this.nameOf(key) });
    this.cut = new Cut(() => ({ key: this.leader, track: this.tracks.get(this.leader) }), () => this.draw());
    this.calendar = new Calendar((from, to) => this.showInterval(from, to), signal);
    this.thumb = new Thumb(signal);
    // Of 500 rows those are fetched and painted that are near the window.
    this.seeing = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.rows.get(target.dataset.stream).seen = isIntersecting;
      this.draw();
      this.loadSoon();
    }, { rootMargin: "200px" });
    this.loadSoon = settle(120, () => this.load());
    root.append(h("h1", { class: "unseen" }, t("page_timeline")), (this.empty = nothing("cameras")), this.buildAll());
    this.go(argument);
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    addEventListener("skyvis-theme", () => { this.colours = colours(); this.draw(); }, { signal });
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.list);
    feed.on("change", signal, () => this.update());
    feed.on("event", signal, ({ event, fresh }) => fresh && this.happened(event));
    const timer = setInterval(() => { if (!document.hidden && feed.now() > this.from) { this.loadSoon(); this.draw(); } }, DRAW_MS);
    signal.addEventListener("abort", () => { clearInterval(timer); observer.disconnect(); this.seeing.disconnect(); });
    this.update();
  }

  buildAll() {
    this.body = h("div", { class: "body" },
      h("section", { class: "stage", "aria-label": t("player") }, this.group.element, this.buildControls(), this.cut.element),
      h("aside", { class: "side" }, this.calendar.element, this.buildGaps(), this.buildHelp()),
      this.buildStrips());
    return this.body;
  }

  buildControls() {
    // What stands on a button is its name where that is a word.
    const isWord = (text) => typeof text === "string" && /[\p{L}\p{N}]/u.test(text);
    const act = (text, label, onclick, more = {}) => button(text, { title: label, "aria-label": isWord(text) ? null : label, ...more }, onclick);
    this.playButton = act(icon("play"), t("play_or_pause"), () => this.toggle(), { "data-play": true });
    this.liveButton = act(t("page_live"), t("watch_live"), () => this.play(null), { "data-live": true });
    this.soundButton = act(t("sound"), t("sound"), () => { this.group.muted = !this.group.muted; setAttribute(this.soundButton, "aria-pressed", String(!this.group.muted)); }, { "aria-pressed": "false" });
    this.speed = h("select", { "aria-label": t("speed"), onchange: () => this.group.setSpeed(Number(this.speed.value)) }, SPEEDS.map((s) => h("option", { value: s, selected: s === 1 }, `${s}×`)));
    this.clock = h("time", { class: "clock", "data-clock": true });
    const mark = (which) => act(which === "from" ? "[" : "]", t(`set_mark_${which}`), () => this.markEnd(which));
    return h("div", { class: "bar controls" },
      act("−10", t("step_back"), () => this.step(-STEP_MS)), this.playButton, act("+10", t("step_on"), () => this.step(STEP_MS)),
      this.speed, this.liveButton, this.soundButton, mark("from"), mark("to"),
      act(icon("full"), t("full_screen"), () => (document.fullscreenElement ? document.exitFullscreen() : this.group.element.requestFullscreen()), { class: "icon" }),
      this.clock);
  }

  buildStrips() {
    const zooms = ZOOMS.map(([name, ms]) => button(t(`zoom_${name}`), { "data-zoom": name }, () => this.zoomTo(name, ms)));
    this.dayField = h("input", { type: "date", "aria-label": t("day"), onchange: () => {
      const [y, m, d] = this.dayField.value.split("-").map(Number);
      if (y) this.showInterval(new Date(y, m - 1, d).getTime(), new Date(y, m - 1, d + 1).getTime());
    } });
    this.shown = h("span", { class: "dim shown" });
    this.scale = h("div", { class: "scale", role: "slider", tabindex: "0", "aria-label": t("time_shown") });
    this.list = h("div", { class: "rows" });
    this.drag(this.scale, (from, x, began) => this.pan(began, x), () => {});
    const legend = h("ul", { class: "legend", "aria-label": t("colours") }, ["footage", ...CAUSE_KINDS].map((kind) => h("li", { class: `kind-${kind}` }, t(`kind_${kind}`))));
    const section = h("section", { class: "strips", "aria-label": t("strips") },
      h("div", { class: "bar" },
        button("‹", { "aria-label": t("earlier") }, () => this.shift(-1)), this.dayField, button("›", { "aria-label": t("later") }, () => this.shift(1)),
        button(t("today"), {}, () => this.showInterval(dayStart(Date.now()), dayStart(Date.now(), 1))),
        h("span", { class: "group", role: "group", "aria-label": t("zoom") }, zooms),
        button("+", { "aria-label": t("zoom_in") }, () => this.zoom(0.5)), button("−", { "aria-label": t("zoom_out") }, () => this.zoom(2)), this.shown),
      this.scale, this.list, legend);
    section.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    return section;
  }

  buildGaps() {
    this.gapList = h("div", { class: "gaps" });
    this.gapTitle = h("summary", {});
    return h("details", { class: "panel", open: true }, this.gapTitle, this.gapList);
  }

  buildHelp() {
    const keys = [["Space", "play_or_pause"], ["← →", "key_step"], ["⇧ ← →", "key_fine"], ["J K L", "key_jkl"], ["[ ]", "key_marks"], ["+ −", "key_zoom"], ["End", "watch_live"]];
    return h("details", { class: "panel keys" }, h("summary", {}, t("keys")), h("dl", {}, keys.map(([key, word]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(word))]).flat()));
  }

  /** `nvr1/1` or `nvr1/1/main`, and `/@<ms>` behind it for a time. */
  go(argument) {
    const [, key, time] = argument.match(/^(.*?)(?:\/?@(\d+))?$/);
    this.wanted = key || null;
    if (time) {
      this.moveTo(Number(time) - 300_000, Number(time) + 300_000);
    }
    this.wantedTime = time ? Number(time) : null;
    this.update();
    return true;
  }

  get leader() {
    return this.chosen[0] ?? null;
  }

  nameOf(key) {
    const stream = feed.streams.get(key);
    return stream?.name ? `${isolated(stream.name)} · ${shortKey(channelOf(key))}` : shortKey(key);
  }

  /** One row a channel: its main stream where that is recorded, else what there is. */
  update() {
    const best = new Map();
    for (const { key } of feed.streams.values()) {
      const channel = channelOf(key);
      if (!best.has(channel) || key.endsWith("/main")) best.set(channel, key);
    }
    if (this.wanted) {
      // A stream that left the config may still have footage; the address can name it.
      const parts = this.wanted.split("/");
      const key = parts.length === 3 ? this.wanted : best.get(this.wanted) ?? (feed.status ? `${this.wanted}/main` : null);
      if (key) {
        best.set(channelOf(key), key);
        this.extra = key;
        this.wanted = null;
        this.chosen = [key];
        if (this.wantedTime !== null) this.play(this.wantedTime);
      }
    } else if (this.extra) {
      best.set(channelOf(this.extra), this.extra);
    }
    const keys = [...best.keys()].sort(byChannel).map((channel) => best.get(channel));
    this.empty.hidden = feed.status === null || keys.length > 0;
    this.body.hidden = keys.length === 0;
    if (this.chosen.length === 0 && keys.length > 0) this.chosen = [keys[0]];
    let added = false;
    keep(this.list, keys, (key) => key, (key) => { added = true; return this.addRow(key); });
    for (const key of this.rows.keys()) if (!keys.includes(key)) { this.seeing.unobserve(this.rows.get(key).element); this.rows.delete(key); this.tracks.delete(key); }
    for (const [key, row] of this.rows) {
      setText(row.name, this.nameOf(key));
      const seat = this.chosen.indexOf(key);
      row.element.classList.toggle("chosen", seat >= 0);
      row.box.checked = seat >= 0;
      row.box.disabled = seat < 0 && this.chosen.length >= SEATS_MAX;
    }
    if (added) this.loadSoon();
    this.calendar.show(this.leader, this.from);
    this.cut.show();
  }

  addRow(key) {
    const track = new Track(key);
    this.tracks.set(key, track);
    const name = named("", { class: "name" });
    const box = h("input", { type: "checkbox", title: t("in_step"), "aria-label": t("in_step_of", { name: this.nameOf(key) }), onchange: () => this.choose(key, box.checked) });
    const canvas = h("canvas", { role: "img", "aria-label": t("strip_of", { name: this.nameOf(key) }) });
    const lane = h("div", { class: "lane", "data-lane": key }, canvas);
    const element = h("div", { class: "row", "data-stream": key }, h("label", { class: "who" }, box, name), lane);
    this.rows.set(key, { key, element, name, box, lane, canvas, seen: false });
    this.seeing.observe(element);
    this.drag(lane, (time) => this.scrub(key, time), (time) => this.dropped(key, time));
    lane.addEventListener("pointermove", (event) => event.buttons === 0 && this.hover(key, lane, event));
    lane.addEventListener("pointerleave", () => this.thumb.hide());
    return element;
  }

  choose(key, chosen) {
    this.chosen = chosen ? [...this.chosen, key] : this.chosen.filter((k) => k !== key);
    if (this.chosen.length === 0) this.chosen = [key];
    this.update();
    this.draw();
    if (this.group.seats.length > 0) this.play(this.group.live ? null : this.time);
  }

  /** Follows a pointer from where it was pressed: `moved(time, x, began)` on its way, `done(time)` where it was let go. */
  drag(element, moved, done) {
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      const began = { x: event.clientX, from: this.from, to: this.to };
      element.setPointerCapture(event.pointerId);
      const move = (e) => moved(this.timeAt(e.clientX), e.clientX, began);
      const end = (e) => {
        element.removeEventListener("pointermove", move);
        element.removeEventListener("pointerup", end);
        element.removeEventListener("pointercancel", end);
        if (e.type === "pointerup") done(this.timeAt(e.clientX));
      };
      element.addEventListener("pointermove", move);
      element.addEventListener("pointerup", end);
      element.addEventListener("pointercancel", end);
      move(event);
    });
  }

  box() {
    return this.scale.getBoundingClientRect();
  }

  timeAt(x) {
    const { left, width } = this.box();
    return this.from + (Math.min(Math.max(x - left, 0), width) / width) * (this.to - this.from);
  }

  pan(began, x) {
    const by = ((began.x - x) / this.box().width) * (began.to - began.from);
    this.showInterval(began.from + by, began.to + by);
  }

  scrub(key, time) {
    this.scrubbed = time;
    this.draw();
    this.showThumb(key, time);
  }

  dropped(key, time) {
    this.scrubbed = null;
    this.thumb.hide();
    if (!this.chosen.includes(key)) this.chosen = [key];
    this.update();
    // Where there is nothing, the next footage is.
    const track = this.tracks.get(key);
    if (this.group.seats.length > 0 && this.sameSeats() && !this.group.live) this.group.seek(time);
    else this.play(time);
    if (!track.spanAt(time)) this.draw();
  }

  sameSeats() {
    return this.group.keys.join() === this.chosen.join();
  }

  hover(key, lane, event) {
    this.showThumb(key, this.timeAt(event.clientX), event.clientX);
  }

  showThumb(key, time) {
    const track = this.tracks.get(key);
    const gap = track.gapAt(time);
    const there = track.spanAt(time) !== undefined;
    const { left, width } = this.box();
    const x = left + ((time - this.from) / (this.to - this.from)) * width;
    const { top } = this.rows.get(key).lane.getBoundingClientRect();
    this.thumb.show({ key, time, x, top, there, text: gap ? t("gap_of", { length: duration(((gap.end ?? feed.now()) - gap.start) / 1000), cause: causeOf(gap.cause) }) : there ? "" : t("no_footage") });
  }

  play(time) {
    this.time = time;
    this.group.play(this.chosen, time);
    this.group.setSpeed(Number(this.speed.value));
    this.liveButton.setAttribute("aria-pressed", String(time === null));
    this.showPlaying();
    this.draw();
  }

  showPlaying() {
    const plays = this.group.seats.length > 0 && !this.group.held;
    this.playButton.replaceChildren(icon(plays ? "pause" : "play"));
    setAttribute(this.playButton, "aria-pressed", String(plays));
  }

  toggle() {
    if (this.group.seats.length === 0) return this.play(this.time ?? this.lastFootage());
    this.group.hold(!this.group.held);
    this.showPlaying();
  }

  lastFootage() {
    const last = this.tracks.get(this.leader)?.spans.at(-1);
    return last ? Math.max(last.start, last.end - STEP_MS) : this.from;
  }

  step(by) {
    const time = (this.group.time ?? this.time ?? this.lastFootage()) + by;
    if (time > feed.now() - 2_000) return this.play(null);
    if (this.group.seats.length === 0 || this.group.live) return this.play(time);
    this.time = time;
    this.group.seek(time);
    this.follow(time);
    this.draw();
  }

  pace(by) {
    const at = SPEEDS.indexOf(Number(this.speed.value));
    this.speed.value = SPEEDS[Math.min(Math.max(at + by, 0), SPEEDS.length - 1)];
    this.group.setSpeed(Number(this.speed.value));
  }

  markEnd(which) {
    const time = this.group.time ?? this.time;
    if (time !== null) this.cut.markEnd(which, Math.round(time));
  }

  key(event) {
    if (event.target.closest("input:not([type=checkbox]), select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    // A button takes space for itself.
    if (event.key === " " && event.target.closest("button, a, summary, input")) return;
    const by = event.shiftKey ? FINE_STEP_MS : STEP_MS;
    const acts = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.step(-by),
      ArrowRight: () => this.step(by),
      j: () => this.step(-STEP_MS / 2),
      k: () => this.toggle(),
      l: () => (this.group.held || this.group.seats.length === 0 ? this.toggle() : this.pace(1)),
      "[": () => this.markEnd("from"),
      "]": () => this.markEnd("to"),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      End: () => this.play(null),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  wheel(event) {
    // A plain wheel scrolls the page; sideways it moves in time, with Ctrl it zooms.
    if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event.clientX));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      const by = ((event.deltaX || event.deltaY) / this.box().width) * (this.to - this.from);
      this.showInterval(this.from + by, this.to + by);
    } else return;
    event.preventDefault();
  }

  zoom(factor, around = this.time ?? (this.from + this.to) / 2) {
    const at = around >= this.from && around <= this.to ? around : (this.from + this.to) / 2;
    const width = Math.min(SHOWN_MS_MAX, Math.max(SHOWN_MS_MIN, (this.to - this.from) * factor));
    const part = (at - this.from) / (this.to - this.from);
    this.showInterval(at - part * width, at + (1 - part) * width);
  }

  zoomTo(name, ms) {
    const around = this.time ?? Math.min((this.from + this.to) / 2, feed.now());
    if (name === "month") this.showInterval(monthStart(around), monthStart(around, 1));
    else if (name === "day") this.showInterval(dayStart(around), dayStart(around, 1));
    else this.showInterval(around - ms / 2, around + ms / 2);
  }

  shift(by) {
    // A day is what the calendar says, be it of 23 hours.
    if (this.from === dayStart(this.from) && this.to === dayStart(this.from, 1)) return this.showInterval(dayStart(this.from, by), dayStart(this.from, by + 1));
    const width = this.to - this.from;
    this.showInterval(this.from + by * width, this.to + by * width);
  }

  showInterval(from, to) {
    this.movedAt = performance.now();
    this.moveTo(from, to);
  }

  moveTo(from, to) {
    this.fit = false;
    [this.from, this.to] = [from, to];
    this.draw();
    this.loadSoon();
    this.calendar.show(this.leader, this.from);
  }

  /** What is played stays in sight, unless somebody looks elsewhere. */
  follow(time) {
    if ((this.scrubbed ?? null) !== null || performance.now() - (this.movedAt ?? -Infinity) < LOOKS_MS) return;
    const width = this.to - this.from;
    if (time > this.to || time < this.from) this.moveTo(time - width * 0.1, time + width * 0.9);
  }

  happened({ kind, subject }) {
    if (!/^(gap|recording|stream)\./.test(kind)) return;
    this.tracks.get(subject)?.spoil();
    this.loadSoon();
  }

  async load() {
    const waiting = [...this.tracks.values()].filter((track) => this.rows.get(track.key).seen);
    let news = false;
    const work = async () => {
      for (let track = waiting.shift(); track; track = waiting.shift()) news = (await track.load(this.from, this.to, this.signal)) || news;
    };
    try {
      await Promise.all([work(), work(), work(), work()]);
    } catch {
      return;
    }
    if (this.fit) this.fitToFootage();
    if (news) { this.draw(); this.listGaps(); this.cut.show(); }
  }

  /** Shows the whole day, or the part with footage where that is short. */
  fitToFootage() {
    const spans = [...this.tracks.values()].flatMap((track) => track.spans).filter((s) => s.end > this.from && s.start < this.to);
    if (spans.length === 0) return;
    this.fit = false;
    const first = Math.max(this.from, Math.min(...spans.map((s) => s.start)));
    const last = Math.min(this.to, Math.max(...spans.map((s) => s.end)));
    if (last - first > SPARSE_MS) return;
    const margin = Math.max(60_000, (last - first) * 0.1);
    this.moveTo(first - margin, last + margin);
  }

  listGaps() {
    const track = this.tracks.get(this.leader);
    const gaps = (track?.gaps ?? []).filter((g) => (g.end ?? feed.now()) > this.from && g.start < this.to);
    setText(this.gapTitle, t("gaps_of", { n: gaps.length, name: this.leader ? this.nameOf(this.leader) : "" }));
    keep(this.gapList, gaps.slice(0, GAPS_LISTED_MAX), (g) => g.start, () => button("", {}), (element, gap) => {
      const text = `${moment(gap.start)} · ${gap.end === null ? t("lasts") : duration((gap.end - gap.start) / 1000)} · ${causeOf(gap.cause)}`;
      setText(element, text);
      element.dataset.gap = gap.cause;
      element.onclick = () => { this.play(gap.start - STEP_MS / 2); this.follow(gap.start); };
    });
  }

  showTime(time) {
    this.time = time;
    setTime(this.clock, time);
    setText(this.clock, `${day(time)} ${moment(time).slice(-8)}`);
    setAttribute(this.scale, "aria-valuetext", iso(time));
    if (!this.group.live) this.follow(time);
    if (this.leader && !this.drawing) { this.drawing = true; requestAnimationFrame(() => { this.drawing = false; this.draw(); }); }
  }

  draw() {
    if (!this.scale?.clientWidth) return;
    const width = this.scale.clientWidth;
    const place = (time) => ((time - this.from) / (this.to - this.from)) * width;
    const marks = ticks(this.from, this.to, width).map(({ time, text, strong }) => {
      const mark = h("span", { class: strong ? "strong" : null }, text);
      mark.style.left = `${place(time)}px`;
      return mark;
    });
    this.scale.replaceChildren(...marks);
    for (const [name, value] of [["aria-valuemin", this.from], ["aria-valuemax", this.to], ["aria-valuenow", this.time ?? this.from]]) setAttribute(this.scale, name, Math.round(value));
    if (!this.scale.hasAttribute("aria-valuetext")) setAttribute(this.scale, "aria-valuetext", iso(this.from));
    setText(this.shown, `${moment(this.from)} – ${moment(this.to)}`);
    if (document.activeElement !== this.dayField) this.dayField.value = day(this.from);
    const head = this.scrubbed ?? (this.group.seats.length > 0 ? this.group.time : null);
    for (const [key, row] of this.rows) {
      if (!row.seen) continue;
      const chosen = this.chosen.includes(key);
      this.tracks.get(key).grow();
      paint(row.canvas, this.tracks.get(key), { from: this.from, to: this.to, chosen, time: chosen || this.scrubbed ? head : null, mark: key === this.leader ? this.cut.mark : null, colours: this.colours });
    }
  }
}
