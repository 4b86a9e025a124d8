// Several cameras in step: one leads, the others keep to its time. Who has no footage there waits, and says why.

import { h, named, setText } from "./dom.js";
import { causeOf } from "./advice.js";
import { Player } from "./player.js";
import { moment } from "./units.js";
import { Watch } from "./watch.js";
import { t } from "./words.js";

const LOOK_MS = 200;
/** So far apart nobody sees it; up to the second it is made up for by pace, beyond it by a leap. */
const CLOSE_MS = 120;
const LEAP_MS = 1_500;
/** A leap of the picture's time beyond what was played is a gap that was crossed. */
const CROSSED_MS = 1_200;
/** The most at once. */
export const SEATS_MAX = 4;

class Seat {
  constructor(key, name, sound) {
    Object.assign(this, { key, player: null, wall: null });
    this.video = h("video", { "data-player": true, playsinline: true, muted: true, "aria-label": name });
    this.video.muted = !sound;
    this.message = h("p", { class: "message", role: "status" });
    this.element = h("figure", { class: "seat", "data-stream": key }, this.video, h("figcaption", {}, named(name)), this.message);
  }

  say(text) {
    setText(this.message, text);
    this.message.hidden = text === "";
  }

  stop() {
    this.player?.stop();
    this.player = null;
  }
}

export class Group {
  /** `onTime(ms)`: wall time of the leading picture; `trackOf(key)`, `nameOf(key)`. */
  constructor({ onTime, trackOf, nameOf, signal }) {
    Object.assign(this, { onTime, trackOf, nameOf, seats: [], time: null, live: false, held: false, speed: 1 });
    this.element = h("div", { class: "seats", "data-count": 0 }, h("p", { class: "hint" }, t("play_how")));
    const timer = setInterval(() => this.tend(), LOOK_MS);
    signal.addEventListener("abort", () => { clearInterval(timer); this.stop(); });
  }

  get leader() {
    return this.seats[0] ?? null;
  }

  get keys() {
    return this.seats.map((seat) => seat.key);
  }

  stop() {
    for (const seat of this.seats) seat.stop();
  }

  /** Plays these streams from a time on, or live where that is null; the first leads. */
  play(keys, time) {
    this.stop();
    const sound = this.leader && !this.leader.video.muted;
    this.seats = keys.slice(0, SEATS_MAX).map((key, n) => new Seat(key, this.nameOf(key), sound && n === 0));
    this.element.replaceChildren(...this.seats.map((seat) => seat.element));
    this.element.dataset.count = this.seats.length;
    Object.assign(this, { time, live: time === null, held: false, crossed: null });
    for (const seat of this.seats) this.start(seat, time);
    this.setSpeed(this.live ? 1 : this.speed);
  }

  start(seat, time) {
    seat.stop();
    seat.wall = null;
    seat.say(t("loading"));
    const told = {
      onStatus: (text) => this.sayOf(seat, text),
      onTime: (wall) => this.took(seat, wall),
    };
    seat.player = time === null ? new Watch(seat.video, seat.key, told) : new Player(seat.video, seat.key, time, told);
  }

  sayOf(seat, text) {
    if (seat.crossed && performance.now() < seat.crossed) return;
    if (!seat.waits) seat.say(text);
  }

  took(seat, wall) {
    const before = seat.wall;
    seat.wall = wall;
    if (seat !== this.leader) return;
    if (before !== null && !this.live && wall - before > CROSSED_MS * Math.max(1, this.speed)) this.sayCrossed(seat, before, wall);
    this.time = wall;
    this.onTime(wall);
  }

  sayCrossed(seat, from, to) {
    const gap = this.trackOf(seat.key)?.gaps.find((g) => g.start >= from - 2_000 && g.start < to);
    if (!gap) return;
    seat.say(t("crossed", { from: moment(gap.start), to: moment(gap.end ?? to), cause: causeOf(gap.cause) }));
    seat.crossed = performance.now() + 4_000;
  }

  /** Keeps the others to the leader's time. */
  tend() {
    const { leader } = this;
    if (!leader || this.live || this.held || leader.wall === null) return;
    for (const seat of this.seats.slice(1)) {
      const player = seat.player;
      const wall = player.wall?.() ?? null;
      if (wall === null) continue;
      const ahead = wall - this.time;
      if (ahead > LEAP_MS || (seat.waits && ahead > CLOSE_MS)) {
        // It plays on behind a gap: its picture stands until the leader's time is there.
        if (!seat.waits && !player.seek(this.time)) {
          seat.waits = true;
          player.hold(true);
          const gap = this.trackOf(seat.key)?.gapAt(this.time);
          seat.say(gap ? t("waits_why", { time: moment(wall), cause: causeOf(gap.cause) }) : t("waits", { time: moment(wall) }));
        }
        if (seat.waits && ahead > 60_000) this.trackOf(seat.key)?.spoil();
      } else if (seat.waits) {
        seat.waits = false;
        player.hold(false);
        seat.say("");
      } else if (ahead < -LEAP_MS) {
        if (!player.seek(this.time)) this.start(seat, this.time);
      } else {
        seat.video.playbackRate = this.speed * (ahead > CLOSE_MS ? 0.9 : ahead < -CLOSE_MS ? 1.1 : 1);
      }
    }
  }

  /** Moves all to a time. */
  seek(time) {
    if (this.live || this.seats.length === 0) return this.play(this.keys, time);
    this.time = time;
    for (const seat of this.seats) {
      if (seat.waits) { seat.waits = false; seat.player.hold(this.held); }
      seat.crossed = null;
      seat.wall = null;
      if (!seat.player.seek(time)) {
        this.start(seat, time);
        seat.player.hold(this.held);
      }
    }
    this.setSpeed(this.speed);
  }

  hold(held) {
    if (this.live) {
      if (held) this.leader?.video.pause();
      else this.play(this.keys, null);
      this.held = held;
      return;
    }
    this.held = held;
    for (const seat of this.seats) if (!seat.waits) seat.player?.hold(held);
  }

  setSpeed(speed) {
    if (!this.live) this.speed = speed;
    for (const { video } of this.seats) {
      // Set as the default too: a new source begins with that.
      video.defaultPlaybackRate = this.live ? 1 : speed;
      video.playbackRate = this.live ? 1 : speed;
    }
  }

  get muted() {
    return this.leader?.video.muted ?? true;
  }

  set muted(muted) {
    if (this.leader) this.leader.video.muted = muted;
  }
}
