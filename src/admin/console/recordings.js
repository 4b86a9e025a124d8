// Recordings: a bar per stream over the hours of a day, and the player of what was clicked.

import { gaps, recordings, withToken } from "./api.js";
import { Player, mp4Url } from "./player.js";
import { bytes, cause, clock, day, dayStart, duration, h, iso, setText, shortKey } from "./text.js";

const DAY_MS = 86_400_000;
/** The closest zoom. */
const SHOWN_MS_MIN = 60_000;
/** A day with less footage than this is shown zoomed in on it. */
const SPARSE_MS = 2 * 3_600_000;
const REFRESH_MS = 3_000;
/** Ticks of the time scale: the finest of these that leaves them apart. */
const TICKS_MS = [5_000, 15_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000];
const TICKS_MAX = 13;
const STEP_MS = 10_000;
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];

/** `nvr1/1/main` and `nvr1/1/main/live`: the stream, and whether to play it live at once. */
function parse(argument) {
  const live = argument.endsWith("/live");
  return [(live ? argument.slice(0, -5) : argument) || null, live];
}

export class RecordingsView {
  constructor(root, stream) {
    this.rows = new Map();
    this.stopping = new AbortController();
    const [key, live] = parse(stream);
    this.selected = key;
    this.time = null;
    this.chooseDay(day(Date.now()), false);
    root.append(this.buildStage(), this.buildBars());
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.loop();
    if (live) this.play(key, null);
  }

  /** Goes on with another stream without building the page anew. */
  choose(argument) {
    const [key, live] = parse(argument);
    if (live) this.play(key, null);
    else if (key) this.select(key);
    this.rows.get(key)?.element.scrollIntoView({ block: "nearest" });
    return true;
  }

  close() {
    this.stopping.abort();
    document.removeEventListener("keydown", this.onKey);
    this.player?.stop();
  }

  buildStage() {
    this.video = h("video", { "data-player": true, playsinline: true, muted: true, "aria-label": "Player" });
    this.video.muted = true;
    this.message = h("p", { class: "message", role: "status" }, "Click a bar below to play from that moment.");
    this.playing = h("span", { class: "playing" });
    this.clock = h("time", { class: "clock" });
    const button = (text, label, onclick) => h("button", { type: "button", title: label, "aria-label": label, onclick }, text);
    this.pauseButton = button("Pause", "Pause or go on (space)", () => this.toggle());
    this.soundButton = button("Sound", "Sound on or off", () => { this.video.muted = !this.video.muted; this.showSound(); });
    this.soundButton.setAttribute("aria-pressed", "false");
    this.liveButton = button("Live", "Watch this stream live", () => this.play(this.selected, null));
    this.liveButton.dataset.live = "";
    this.speed = h("select", { "aria-label": "Speed", onchange: () => this.setSpeed() },
      SPEEDS.map((s) => h("option", { value: s, selected: s === 1 }, `${s}×`)));
    const controls = h("div", { class: "controls" },
      button("−10 s", "Ten seconds back (left arrow)", () => this.step(-STEP_MS)), this.pauseButton,
      button("+10 s", "Ten seconds on (right arrow)", () => this.step(STEP_MS)),
      this.speed, this.liveButton, this.soundButton,
      button("Full screen", "Fill the screen", () => this.video.requestFullscreen()),
      this.playing, this.clock);
    return h("section", { class: "stage", "aria-label": "Player" }, h("div", { class: "screen" }, this.video, this.message), controls, this.buildExport());
  }

  buildExport() {
    const field = (label) => h("input", { type: "datetime-local", step: 1, "aria-label": label, onchange: () => this.showExport() });
    this.exportFrom = field("From");
    this.exportTo = field("To");
    this.exportLink = h("a", { class: "button", "data-download": true }, "Download MP4");
    this.exportInfo = h("span", { class: "dim" });
    return h("div", { class: "export" }, h("span", { class: "dim" }, "Export"), this.exportFrom, "to", this.exportTo, this.exportLink, this.exportInfo);
  }

  buildBars() {
    const button = (text, label, onclick) => h("button", { type: "button", title: label, "aria-label": label, onclick }, text);
    this.dayField = h("input", { type: "date", "aria-label": "Day", value: this.day, onchange: () => this.dayField.value && this.chooseDay(this.dayField.value, true) });
    this.scale = h("div", { class: "scale", "aria-hidden": "true" });
    this.list = h("div", { class: "rows" });
    this.none = h("p", { class: "empty" }, "No streams yet.");
    this.shownText = h("span", { class: "dim" });
    const bars = h("section", { class: "bars", "aria-label": "Recordings by time" },
      h("div", { class: "controls" },
        button("‹", "Day before", () => this.chooseDay(day(dayStart(this.day) - DAY_MS / 2), true)), this.dayField,
        button("›", "Day after", () => this.chooseDay(day(dayStart(this.day) + DAY_MS * 1.5), true)),
        button("Today", "Today", () => this.chooseDay(day(Date.now()), true)),
        button("+", "Zoom in", () => this.zoom(0.5)), button("−", "Zoom out", () => this.zoom(2)),
        button("24 h", "Whole day", () => this.showInterval(this.dayFrom, this.dayTo)), this.shownText),
      this.scale, this.list, this.none);
    this.list.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    return bars;
  }

  chooseDay(text, load) {
    this.day = text;
    this.dayFrom = dayStart(text);
    this.dayTo = this.dayFrom + DAY_MS;
    [this.from, this.to] = [this.dayFrom, this.dayTo];
    this.fit = true;
    if (!load) return;
    this.dayField.value = text;
    for (const row of this.rows.values()) [row.spans, row.gaps] = [[], []];
    this.draw();
    this.load();
  }

  update({ streams }) {
    this.none.hidden = streams.length > 0;
    const keys = new Set(streams.map((s) => s.key));
    // A stream that left the config may still have footage; the address can name it.
    if (this.selected) keys.add(this.selected);
    for (const [key, row] of this.rows) if (!keys.has(key)) { row.element.remove(); this.rows.delete(key); }
    let added = false;
    for (const key of keys) {
      const stream = streams.find((s) => s.key === key);
      if (!this.rows.has(key)) { this.addRow(key); added = true; }
      // Behind a gateway the keys differ where a narrow column no longer shows them.
      const [first, second] = key.includes(":") ? [stream?.name, shortKey(key)] : [key, stream?.name];
      setText(this.rows.get(key).name, [first, second].filter(Boolean).join(" · "));
      this.rows.get(key).name.title = key;
    }
    this.select(this.selected ?? streams[0]?.key ?? null);
    if (!added) return;
    if (this.selected) this.rows.get(this.selected)?.element.scrollIntoView({ block: "nearest" });
    this.load();
  }

  addRow(key) {
    const track = h("div", { class: "track" });
    const holes = h("div", { class: "track" });
    const now = h("span", { class: "now", "aria-hidden": "true" });
    const head = h("span", { class: "head", "aria-hidden": "true" });
    const name = h("button", { type: "button", class: "name", onclick: () => { location.hash = `recordings/${key}`; } });
    const live = h("button", { type: "button", class: "live", "data-live": true, "aria-label": `Watch ${key} live`, onclick: () => this.play(key, null) }, "Live");
    const element = h("div", { class: "row", "data-stream": key }, name, h("div", { class: "lane" }, holes, track, now, head), live);
    this.rows.set(key, { key, element, name, track, holes, now, head, spans: [], gaps: [] });
    this.list.append(element);
  }

  select(key) {
    this.selected = key;
    for (const row of this.rows.values()) row.element.classList.toggle("selected", row.key === key);
    this.liveButton.disabled = key === null;
  }

  async loop() {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // Only today's footage grows.
      if (!document.hidden && this.rows.size > 0 && Date.now() < this.dayTo) await this.load();
      await new Promise((resolve) => { setTimeout(resolve, REFRESH_MS); });
    }
  }

  async load() {
    const [from, to] = [this.dayFrom, this.dayTo];
    const { signal } = this.stopping;
    const waiting = [...this.rows.values()];
    const work = async () => {
      for (let row = waiting.shift(); row; row = waiting.shift()) {
        try {
          const [spans, holes] = await Promise.all([recordings(row.key, from, to, { signal }), gaps(row.key, from, to, { signal })]);
          if (from === this.dayFrom) { [row.spans, row.gaps] = [spans, holes]; this.drawRow(row); }
        } catch (error) {
          if (!signal.aborted) this.say(error.message);
          return;
        }
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    if (from === this.dayFrom && this.fit) this.fitToFootage();
  }

  /** Shows the whole day, or the part with footage where that is short. */
  fitToFootage() {
    const spans = [...this.rows.values()].flatMap((r) => r.spans);
    if (spans.length === 0) return;
    this.fit = false;
    const first = Math.max(this.dayFrom, Math.min(...spans.map((s) => s.start)));
    const last = Math.min(this.dayTo, Math.max(...spans.map((s) => s.end)));
    if (last - first > SPARSE_MS) return this.draw();
    const margin = Math.max(300_000, (last - first) * 0.1);
    this.showInterval(first - margin, last + margin);
  }

  showInterval(from, to) {
    const width = Math.min(DAY_MS, Math.max(SHOWN_MS_MIN, to - from));
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(middle - width / 2, this.dayFrom), this.dayTo - width);
    this.to = this.from + width;
    this.draw();
  }

  zoom(factor, around = this.time ?? (this.from + this.to) / 2) {
    const at = around >= this.from && around <= this.to ? around : (this.from + this.to) / 2;
    this.fit = false;
    const width = Math.min(DAY_MS, Math.max(SHOWN_MS_MIN, (this.to - this.from) * factor));
    const left = ((at - this.from) / (this.to - this.from)) * width;
    this.showInterval(at - left, at - left + width);
  }

  wheel(event) {
    const lane = event.target.closest(".lane");
    if (!lane) return;
    // A plain wheel scrolls the page; sideways it moves along the day, with Ctrl it zooms.
    if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(lane, event.clientX));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.deltaX / lane.clientWidth) * (this.to - this.from);
      this.showInterval(this.from + by, this.to + by);
    } else return;
    event.preventDefault();
  }

  timeAt(lane, x) {
    const box = lane.getBoundingClientRect();
    return this.from + ((x - box.left) / box.width) * (this.to - this.from);
  }

  percent(time) {
    return ((time - this.from) / (this.to - this.from)) * 100;
  }

  draw() {
    const tick = TICKS_MS.find((t) => (this.to - this.from) / t <= TICKS_MAX) ?? TICKS_MS.at(-1);
    const ticks = [];
    for (let t = this.dayFrom + Math.ceil((this.from - this.dayFrom) / tick) * tick; t <= this.to; t += tick) {
      const mark = h("span", {}, tick < 60_000 ? clock(t) : clock(t).slice(0, 5));
      mark.style.left = `${this.percent(t)}%`;
      ticks.push(mark);
    }
    this.scale.replaceChildren(h("div", { class: "marks" }, ticks));
    setText(this.shownText, `${clock(this.from)} to ${clock(this.to)}, times of this browser`);
    for (const row of this.rows.values()) this.drawRow(row);
    this.drawHead();
  }

  drawRow(row) {
    const shown = row.spans.filter((s) => s.end > this.from && s.start < this.to);
    // Elements are kept, so that one which is about to be clicked does not vanish under the pointer.
    while (row.track.children.length > shown.length) row.track.lastChild.remove();
    while (row.track.children.length < shown.length) {
      row.track.append(h("button", { type: "button", "data-span": true, onclick: (event) => this.clickSpan(row, event) }));
    }
    shown.forEach((span, i) => {
      const element = row.track.children[i];
      const [left, right] = [Math.max(0, this.percent(span.start)), Math.min(100, this.percent(span.end))];
      element.style.left = `${left}%`;
      element.style.width = `${right - left}%`;
      element.span = span;
      const text = `${clock(span.start)} to ${clock(span.end)}, ${duration((span.end - span.start) / 1000)}, ${bytes(span.bytes)}`;
      if (element.title !== text) { element.title = text; element.setAttribute("aria-label", `${row.key}: play ${text}`); }
    });
    this.drawGaps(row);
    const now = this.percent(Date.now());
    row.now.hidden = now < 0 || now > 100;
    row.now.style.left = `${now}%`;
  }

  /** What is missing, in the colour of its kind; the tooltip says why. */
  drawGaps(row) {
    const shown = row.gaps.filter((g) => g.end > this.from && g.start < this.to);
    while (row.holes.children.length > shown.length) row.holes.lastChild.remove();
    while (row.holes.children.length < shown.length) row.holes.append(h("span", { "data-gap": true, role: "img" }));
    shown.forEach((gap, i) => {
      const element = row.holes.children[i];
      const [left, right] = [Math.max(0, this.percent(gap.start)), Math.min(100, this.percent(gap.end))];
      element.style.left = `${left}%`;
      element.style.width = `${right - left}%`;
      element.dataset.gap = gap.cause;
      const end = gap.lasts ? "now" : clock(gap.end);
      const text = `Not recorded ${clock(gap.start)} to ${end}, ${duration((gap.end - gap.start) / 1000)}: ${cause(gap.cause)}`;
      if (element.title !== text) { element.title = text; element.setAttribute("aria-label", text); }
    });
  }

  drawHead() {
    for (const row of this.rows.values()) {
      const place = this.time === null ? -1 : this.percent(this.time);
      row.head.hidden = row.key !== this.playedKey || place < 0 || place > 100;
      row.head.style.left = `${place}%`;
    }
  }

  clickSpan(row, event) {
    const { span } = event.currentTarget;
    // A click by keyboard has no place: the span plays from its beginning.
    const pointed = event.detail > 0 && event.clientX > 0;
    const time = pointed ? this.timeAt(row.track, event.clientX) : Math.max(span.start, this.from);
    this.setExport(Math.max(span.start, this.dayFrom), Math.min(span.end, this.dayTo));
    this.play(row.key, Math.min(Math.max(time, span.start), span.end - 500));
    if (location.hash !== `#recordings/${row.key}`) location.hash = `recordings/${row.key}`;
  }

  /** Plays from a wall time, or live where that is null. */
  play(key, from) {
    this.player?.stop();
    this.select(key);
    this.playedKey = key;
    this.time = from;
    this.isLive = from === null;
    setText(this.playing, `${key}${this.isLive ? " · live" : ""}`);
    setText(this.pauseButton, "Pause");
    this.say("Loading");
    this.player = new Player(this.video, key, from, {
      onStatus: (text) => this.say(text),
      onTime: (time) => this.showTime(time),
    });
    this.setSpeed();
  }

  showTime(time) {
    this.time = time;
    setText(this.clock, `${day(time)} ${clock(time)}`);
    this.clock.dateTime = iso(time);
    this.drawHead();
  }

  toggle() {
    if (!this.player) return;
    this.player.hold(!this.video.paused);
    setText(this.pauseButton, this.player.held ? "Play" : "Pause");
  }

  step(by) {
    if (!this.player || this.time === null) return;
    const time = this.time + by;
    if (time > Date.now() - 2_000) this.play(this.playedKey, null);
    else if (this.isLive || !this.player.seek(time)) this.play(this.playedKey, time);
  }

  setSpeed() {
    // Set as the default too: a new source begins with that.
    const speed = this.isLive ? 1 : Number(this.speed.value);
    this.video.defaultPlaybackRate = speed;
    this.video.playbackRate = speed;
  }

  showSound() {
    this.soundButton.setAttribute("aria-pressed", String(!this.video.muted));
  }

  key(event) {
    if (event.target.closest("input, select, textarea, button, a, dialog")) return;
    const act = { " ": () => this.toggle(), ArrowLeft: () => this.step(-STEP_MS), ArrowRight: () => this.step(STEP_MS) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  say(text) {
    setText(this.message, text);
    this.message.hidden = text === "";
  }

  setExport(from, to) {
    const local = (ms) => `${day(ms)}T${clock(ms)}`;
    this.exportFrom.value = local(from);
    this.exportTo.value = local(to);
    this.showExport();
  }

  showExport() {
    const [from, to] = [Date.parse(this.exportFrom.value), Date.parse(this.exportTo.value)];
    const sound = this.selected !== null && to > from;
    if (sound) this.exportLink.href = withToken(mp4Url(this.selected, from, to));
    else this.exportLink.removeAttribute("href");
    this.exportLink.download = `${(this.selected ?? "").replaceAll("/", "-")}_${this.exportFrom.value.replaceAll(":", "")}.mp4`;
    setText(this.exportInfo, sound ? duration((to - from) / 1000) : "Choose a start and a later end.");
  }
}
