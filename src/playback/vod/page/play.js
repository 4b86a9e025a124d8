// Plays what the page's link shows: fetches the playlist and feeds its segments to Media Source, those that are about to
// be seen, wherever the viewer moves to. Follows an interval that is still being recorded.

import { LivePlayer, Undecodable, canPlay } from "./live.js";
import { firstTime, parsePlaylist, readInit } from "./playlist.js";

const Source = window.ManagedMediaSource ?? window.MediaSource;
const AHEAD_S = 30;
const BEHIND_KEPT_S = 60;
/** A segment is there if all but so much of it is. */
const SLACK_S = 0.15;
const LOOK_EVERY_MS = 200;
const PLAYLIST_EVERY_MS = 500;
/** Says that somebody still watches, while nothing is fetched. */
const ALIVE_EVERY_MS = 30_000;
const RETRY_MS = 2_000;
/** What is live is played so far behind the newest picture, and leaps on where it has fallen back so far. */
const LIVE_LAG_S = 4;
const LIVE_LAG_MAX_S = 12;
/** Segments that are remembered of what is live. */
const LIVE_KEPT_MAX = 1_000;
/** The daemon's answers that no second try changes. */
const FINAL = new Set([401, 404, 410]);

/** What cannot be mended by trying again. */
class Final extends Error {}

const main = document.querySelector("main[data-play]");
const video = document.querySelector("video");
const message = document.querySelector(".message");
const clock = document.querySelector("[data-clock]");
const { play, pass, from } = main.dataset;
const live = "live" in main.dataset;
const file = (name) => `${play}/${name}?s=${encodeURIComponent(pass)}`;

const say = (text) => { message.textContent = text; message.hidden = text === ""; };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

async function ask(url) {
  const answer = await fetch(url, { cache: "no-store" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const text = problem.detail ?? `The server answered ${answer.status}.`;
  // Of what is live the past is gone, and the camera comes back.
  const isFinal = FINAL.has(answer.status) && !(live && answer.status === 404);
  throw isFinal ? new Final(text) : new Error(text);
}

class Player {
  constructor() {
    /** In the order of the playlist; `at` and `end` are its place in the film, which has no holes. */
    this.segments = [];
    this.ended = false;
    this.map = null;
    this.inits = new Map();
  }

  async run() {
    this.source = new Source();
    video.disableRemotePlayback = true;
    video.src = URL.createObjectURL(this.source);
    await once(this.source, "sourceopen");
    await this.update();
    // What is live is begun with so much at hand that the next segment is there in time.
    while (this.segments.length === 0 || (live && this.segments.at(-1).end < LIVE_LAG_S)) {
      if (this.ended) throw new Final("There is no footage of this interval.");
      say(live ? "Waiting for the first picture." : "Nothing is recorded yet. It plays as soon as something is.");
      await pause(PLAYLIST_EVERY_MS);
      await this.update();
    }
    const [first] = this.segments;
    let wanted = first.at;
    if (live) [wanted, this.source.duration] = [this.tail(), Infinity];
    else if (first.time !== null) wanted = Math.max(0, (Date.parse(from) - first.time) / 1000);
    for (let looked = Date.now(); ; ) {
      if (!this.ended && Date.now() - looked > PLAYLIST_EVERY_MS) {
        looked = Date.now();
        await this.update();
      }
      if (live && wanted === null && this.segments.at(-1).end - video.currentTime > LIVE_LAG_MAX_S) {
        wanted = this.tail();
      }
      const next = this.needed(wanted ?? video.currentTime);
      if (next) {
        await this.append(next);
        if (wanted !== null && wanted < next.end) {
          video.currentTime = wanted;
          wanted = null;
        }
        continue;
      }
      this.finish();
      await pause(LOOK_EVERY_MS);
    }
  }

  /** Where to play what is live. */
  tail() {
    const end = this.segments.at(-1).end;
    return (this.segments.findLast((s) => s.at <= end - LIVE_LAG_S) ?? this.segments[0]).at;
  }

  /** Takes in what the playlist has more. */
  async update() {
    const answer = await ask(file("index.m3u8"));
    const playlist = parsePlaylist(await answer.text(), answer.url);
    let end = this.segments.at(-1)?.end ?? 0;
    const known = this.segments.at(-1)?.number ?? -1;
    for (const segment of playlist.segments) {
      if (segment.number <= known) continue;
      this.segments.push({ ...segment, at: end, end: end + segment.duration });
      end += segment.duration;
    }
    this.ended = playlist.ended;
    if (!live && this.source.readyState === "open" && !this.busy && end > (this.source.duration || 0)) this.source.duration = end;
  }

  /** The first segment that is seen within the next half minute and is not there. */
  needed(at) {
    return this.segments.find((s) => s.end > at + SLACK_S && s.at < at + AHEAD_S && !this.has(s));
  }

  has({ at, end }) {
    const ranges = this.buffer?.buffered;
    for (let i = 0; i < (ranges?.length ?? 0); i += 1) {
      if (ranges.start(i) <= at + SLACK_S && ranges.end(i) >= end - SLACK_S) return true;
    }
    return false;
  }

  get busy() {
    return this.buffer?.updating ?? false;
  }

  async append(segment) {
    await this.useMap(segment.map);
    const bytes = new Uint8Array(await (await ask(segment.url)).arrayBuffer());
    const offset = segment.at - firstTime(bytes) / this.timescale;
    if (Math.abs(offset - this.buffer.timestampOffset) > 0.001) this.buffer.timestampOffset = offset;
    await this.feed(bytes);
    // What the buffer shows of it may be shorter than the playlist says; it is not fetched again for that.
    if (!this.has(segment)) segment.end = Math.min(segment.end, Math.max(segment.at, this.endOf(segment.at)) + SLACK_S);
  }

  /** Where the run of pictures that begins near a place ends. */
  endOf(at) {
    const ranges = this.buffer.buffered;
    for (let i = 0; i < ranges.length; i += 1) {
      if (ranges.start(i) <= at + 1 && ranges.end(i) > at) return ranges.end(i);
    }
    return at;
  }

  async useMap(map) {
    if (map === null) throw new Final("The playlist names no init segment.");
    if (map.url === this.map) return;
    if (!this.inits.has(map.url)) this.inits.set(map.url, new Uint8Array(await (await ask(map.url)).arrayBuffer()));
    const bytes = this.inits.get(map.url);
    const { type, timescale } = readInit(bytes);
    if (!Source.isTypeSupported(type)) {
      throw new Final(`This browser cannot decode ${/hvc1|hev1/.test(type) ? "H.265" : "this video"}. The downloaded file plays in VLC.`);
    }
    if (this.buffer === undefined) this.buffer = this.source.addSourceBuffer(type);
    else if (this.type !== type) this.buffer.changeType(type);
    Object.assign(this, { map: map.url, type, timescale });
    await this.feed(bytes);
  }

  async feed(bytes) {
    for (let tries = 0; ; tries += 1) {
      try {
        this.buffer.appendBuffer(bytes);
        break;
      } catch (error) {
        if (error.name !== "QuotaExceededError" || tries > 20) throw error;
        await this.forget(tries === 0 ? BEHIND_KEPT_S : 2);
        await pause(RETRY_MS);
      }
    }
    if (this.busy) await once(this.buffer, "updateend");
    if (video.error) throw new Final(video.error.message || "The video cannot be decoded.");
  }

  async forget(keptSeconds) {
    const before = video.currentTime - keptSeconds;
    if (before <= 0) return;
    this.buffer.remove(0, before);
    await once(this.buffer, "updateend");
  }

  /** Nothing more comes once the last segment is there. Of what is live, what was seen long ago is forgotten. */
  finish() {
    if (live && this.segments.length > LIVE_KEPT_MAX) this.segments.splice(0, LIVE_KEPT_MAX / 2);
    const last = this.segments.at(-1);
    if (this.ended && last && this.source.readyState === "open" && !this.busy && this.has(last)) this.source.endOfStream();
  }

  /** Wall time of the picture that is seen. */
  wall() {
    const at = video.currentTime;
    const segment = this.segments.findLast((s) => s.at <= at + 0.05);
    return segment?.time == null ? null : new Date(segment.time + (at - segment.at) * 1000);
  }
}

/** The whole file, for browsers without Media Source, and those that decode more in files. */
function playFile(why) {
  video.addEventListener("error", () => say(why), { once: true });
  video.src = file("video.mp4");
  say("");
}

/** What is live by the quickest way, for as long as that goes well. */
async function playNow() {
  while (live && canPlay) {
    const player = new LivePlayer(video, file("live.ws"));
    window.player = player;
    main.dataset.way = "websocket";
    try {
      if (!(await player.run())) return;
    } catch (error) {
      // By segments it is said what is the matter.
      if (error instanceof Undecodable || !player.shown) return;
    }
    say("The connection broke off. It is tried again.");
    await pause(RETRY_MS);
  }
}

async function start() {
  await playNow();
  for (;;) {
    main.dataset.way = "segments";
    const player = new Player();
    window.player = player;
    try {
      await player.run();
    } catch (error) {
      if (error instanceof Final) {
        if (player.buffer === undefined && player.segments.length > 0) return playFile(error.message);
        return say(error.message);
      }
      say(`Playback broke off: ${error.message} It is tried again.`);
    }
    await pause(RETRY_MS);
  }
}

for (const element of document.querySelectorAll("time[datetime]")) element.textContent = time.format(new Date(element.dateTime));
// The link in the address bar is the one to be passed on: neither a password nor a pass is part of it.
history.replaceState(null, "", location.pathname);
setInterval(() => {
  if (!document.hidden || !video.paused) fetch(file("alive"), { cache: "no-store" }).catch(() => {});
}, ALIVE_EVERY_MS);
setInterval(() => {
  const wall = window.player?.wall?.();
  if (wall) clock.textContent = time.format(wall);
}, 250);
video.addEventListener("playing", () => say(""));
if (Source) start();
else playFile("This browser cannot decode this video. The downloaded file plays in VLC.");
