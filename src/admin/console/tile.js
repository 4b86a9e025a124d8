// One picture of the live grid: the camera's name, its state, how old what is seen is, and by which way it comes.

import { button, h, icon, isolated, named, setAttribute, setText } from "./dom.js";
import { feed } from "./feed.js";
import { reasonOf } from "./advice.js";
import { badge, setBadge } from "./badge.js";
import { age, bitrate, clock, shortKey } from "./units.js";
import { Watch } from "./watch.js";
import { t } from "./words.js";

/** With less room than this a small stream shows all there is to see. */
const SMALL_PX = 800;

export class Tile {
  constructor(channel, large) {
    Object.assign(this, { channel, large, visible: true, key: null, watch: null, wall: null });
    this.video = h("video", { muted: true, playsinline: true, tabindex: "-1", "aria-hidden": "true" });
    this.video.muted = true;
    this.name = named("", { class: "name" });
    this.badge = badge("unknown");
    this.message = h("span", { class: "message" });
    this.age = h("span", { class: "age" });
    this.way = h("span", { class: "way" });
    this.facts = h("span", { class: "facts" });
    this.link = h("a", { class: "cover", href: large ? `#/live` : `#/live/${channel}` });
    this.element = h("article", { class: `tile${large ? " large" : ""}`, "data-stream": channel },
      this.video, this.message, this.link,
      h("div", { class: "strip above" }, this.name, this.badge),
      h("div", { class: "strip below" }, this.age, this.facts, this.way, this.buildTools()));
  }

  buildTools() {
    const sound = button(t("sound"), { class: "small", "aria-pressed": "false" }, () => {
      this.video.muted = !this.video.muted;
      setAttribute(sound, "aria-pressed", String(!this.video.muted));
    });
    const full = button(icon("full"), { class: "small icon", title: t("full_screen"), "aria-label": t("full_screen") }, () =>
      (document.fullscreenElement ? document.exitFullscreen() : this.element.requestFullscreen()));
    const back = h("a", { class: "button small", href: `#/timeline/${this.channel}` }, t("page_timeline"));
    return h("span", { class: "tools" }, this.large ? [sound, back] : null, full);
  }

  /** Takes the streams of the channel as they are now, and plays the fitting one or none. */
  update(streams) {
    const stream = choose(streams, this.large || this.element.clientWidth > SMALL_PX);
    this.stream = stream;
    const title = stream.name ?? shortKey(this.channel);
    setText(this.name, stream.name ? `${isolated(stream.name)} · ${shortKey(this.channel)}` : title);
    setAttribute(this.name, "title", stream.key);
    setBadge(this.badge, stream.state);
    setText(this.facts, stream.state === "running" ? `${stream.height ?? "–"}p · ${stream.fps.toFixed(0)} fps · ${bitrate(stream.bitrate)}` : "");
    setAttribute(this.link, "aria-label", this.large ? t("back_to_grid") : t("open_camera", { name: title, state: t(`state_${stream.state}`) }));
    this.choose();
    if (stream.state !== "running") this.sayState();
  }

  sayState() {
    const { stream } = this;
    const last = stream.last_frame ? ` ${t("last_picture", { age: age(feed.now() - Date.parse(stream.last_frame)) })}` : "";
    this.say(`${stream.reason ? reasonOf(stream.reason) : t(`state_${stream.state}_why`)}${last}`, stream.state !== "connecting");
  }

  /** Plays what is to be seen, and nothing else. */
  choose() {
    // A short break is outlasted: what shows the pictures goes on behind it.
    const trying = this.watch && ["connecting", "backoff"].includes(this.stream?.state);
    const wanted = this.visible && !document.hidden && (this.stream?.state === "running" || trying);
    const key = wanted ? this.stream.key : null;
    if (key === this.key) return;
    this.stop();
    if (key === null) return;
    this.key = key;
    this.say(t("loading"), false);
    this.watch = new Watch(this.video, key, {
      onWay: (way) => { setText(this.way, t(`way_${way}`)); setAttribute(this.way, "title", t(`way_${way}_why`)); this.element.dataset.way = way; },
      // While the stream does not run, why it does not is said instead.
      onStatus: (text, failed) => this.stream.state === "running" && this.say(text, failed),
      onTime: (wall) => { this.wall = wall; this.showAge(); },
    });
  }

  showAge() {
    if (this.wall === null) return setText(this.age, "");
    setText(this.age, `${clock(this.wall)} · ${t("ago", { age: age(feed.now() - this.wall) })}`);
  }

  say(text, failed) {
    setText(this.message, text);
    this.element.classList.toggle("failed", failed && text !== "");
    this.element.classList.toggle("dimmed", text !== "");
  }

  stop() {
    this.watch?.stop();
    Object.assign(this, { watch: null, key: null, wall: null });
    setText(this.age, "");
    setText(this.way, "");
  }
}

/** The main stream where there is room for it, else the small one; one that runs before one that does not. */
function choose(streams, large) {
  const wanted = large ? "/main" : "/sub";
  const rank = (s) => (s.state === "running" ? 2 : 0) + (s.key.endsWith(wanted) ? 1 : 0);
  return streams.reduce((best, s) => (rank(s) > rank(best) ? s : best));
}
