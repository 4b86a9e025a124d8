// Plays one stream from a moment on: fetches HLS playlists window by window and feeds their segments to Media Source.
// Behind the last recorded frame it goes on with what is being recorded. Or plays what is live, by the same means.

import { ApiError, ask, mp4Url, recordings } from "./api.js";
import { pause } from "./dom.js";
import { firstTime, parsePlaylist, readInit } from "./playlist.js";
import { clock, iso } from "./units.js";
import { t } from "./words.js";

const Source = window.ManagedMediaSource ?? window.MediaSource;
/** One playlist covers so much; a whole day in one would be megabytes of text. */
const WINDOW_MS = 10 * 60_000;
const AHEAD_MAX_S = 30;
const BEHIND_KEPT_S = 30;
/** Live plays so far behind the newest frame, runs a little faster beyond the second, and jumps beyond the third. */
const LIVE_LAG_S = 4;
const LIVE_LAG_FAST_S = 6;
const LIVE_LAG_JUMP_S = 12;
const PLAYLIST_EVERY_MS = 500;
/** A playlist that grows is fetched whole each time; one longer than this is left for a new one. */
const OPEN_SEGMENTS_MAX = 120;
/** A picture that stands still for so long is called that. */
const STILL_MS = 2_500;
/** Where segments begin, remembered for so many of them. */
const MARKS_MAX = 2_000;
/** How the daemon answers to who wants video of what was recorded as pictures. */
const PICTURES_ONLY = 409;
const PICTURE_EVERY_MS = 1_000;
/** The newest picture is listed so soon. */
const PICTURE_BACK_MS = 2_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];

/** A video that cannot be decoded here; trying again would not help. */
class Undecodable extends Error {}

export class Player {
  /**
   * `from`: wall time in ms, or null for live. `onStatus(text, failed)`: a sentence for people, empty while it plays.
   * `onTime(ms)`: wall time of the picture that is seen.
   */
  constructor(video, stream, from, { onStatus = () => {}, onTime = () => {} } = {}) {
    Object.assign(this, { video, stream, live: from === null, onStatus, onTime });
    this.stopping = new AbortController();
    this.timer = setInterval(() => this.tend(), 250);
    this.keepGoing(from);
  }

  stop() {
    this.stopping.abort();
    clearInterval(this.timer);
    this.video.removeAttribute("poster");
    this.video.playbackRate = 1;
    this.release();
  }

  get signal() {
    return this.stopping.signal;
  }

  /** Runs until it is stopped; what fails for a while is tried again from the picture last seen. */
  async keepGoing(from) {
    let failures = 0;
    while (!this.signal.aborted) {
      const began = this.end;
      try {
        await this.run(from);
        return;
      } catch (error) {
        if (this.signal.aborted || error.name === "AbortError") return;
        if (error instanceof Undecodable) return this.fallBack(from, error.message);
        if (error.status === PICTURES_ONLY) return this.pictures(from);
        // Motion JPEG: no browser takes it, and none of our addresses would help.
        if (error.status === 406) return this.onStatus(error.message, true);
        if (error.status === 401 || error.status === 403) return this.onStatus(error.message, true);
        this.onStatus(error instanceof ApiError ? error.message : t("playback_broke", { why: error.message }), true);
      }
      if (!this.live) from = this.wall() ?? from;
      failures = this.end > began ? 0 : failures + 1;
      await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)], this.signal);
    }
  }

  /** What was recorded as single pictures: each for as long as it stands, a second of the recording in a second. */
  async pictures(from) {
    this.release();
    this.stills = true;
    let at = from;
    while (!this.signal.aborted) {
      if (this.live) at = Date.now() - PICTURE_BACK_MS;
      const url = `media/${this.stream}/snapshot.jpg?at=${iso(at)}`;
      try {
        await (await ask(url, { signal: this.signal })).arrayBuffer();
        this.video.poster = url;
        this.onStatus("", false);
        this.shownAt = at;
        this.onTime(at);
      } catch (error) {
        if (this.signal.aborted) return;
        this.onStatus(error.message, true);
      }
      await pause(PICTURE_EVERY_MS, this.signal);
      if (!this.held) at += PICTURE_EVERY_MS * this.video.playbackRate;
    }
  }

  async run(from) {
    this.release();
    this.video.removeAttribute("poster");
    if (!Source) throw new Undecodable(t("no_media_source"));
    this.source = new Source();
    this.video.disableRemotePlayback = true;
    this.video.src = URL.createObjectURL(this.source);
    await once(this.source, "sourceopen", this.signal);
    Object.assign(this, { buffer: null, map: null, end: 0, endTime: null, marks: [], wanted: this.live ? null : from });
    for (;;) {
      const start = this.live ? null : await this.nextFootage(from);
      if (start === null && !this.live) return this.finish();
      from = await this.playWindow(start);
    }
  }

  /** The first moment at or after `from` of which there is footage; null where there is none. Near by first, since that is
   *  cheap to ask and most often there. */
  async nextFootage(from) {
    for (const to of [from + WINDOW_MS, null]) {
      const [span] = await recordings(this.stream, from, to, { limit: 1, signal: this.signal });
      if (span) return Math.max(from, span.start);
    }
    return null;
  }

  /** Plays one playlist to its end; the moment at which the next one begins. */
  async playWindow(from) {
    const until = this.live ? Infinity : from + WINDOW_MS;
    const open = until > Date.now();
    const recorded = () => `vod.m3u8?from=${iso(from)}${open ? "" : `&to=${iso(until)}`}`;
    const url = `media/${this.stream}/${this.live ? "live.m3u8" : recorded()}`;
    let taken = -1;
    let fresh = true;
    for (;;) {
      const answer = await ask(url, { signal: this.signal });
      const playlist = parsePlaylist(await answer.text(), answer.url);
      for (const segment of playlist.segments) {
        if (segment.number <= taken) continue;
        await this.room();
        await this.append(segment, fresh);
        taken = segment.number;
        fresh = false;
      }
      if (open && !this.live && playlist.segments.length > OPEN_SEGMENTS_MAX && this.endTime !== null) return this.endTime;
      if (playlist.ended) return open ? Math.max(this.endTime ?? from, from + 1) : until;
      await pause(PLAYLIST_EVERY_MS, this.signal);
      this.signal.throwIfAborted();
    }
  }

  /** Appends one segment where the last one ended. */
  async append(segment, fresh) {
    const changed = await this.useMap(segment.map);
    const bytes = await this.fetch(segment);
    const begins = firstTime(bytes) / this.timescale;
    if (changed || fresh || segment.discontinuity) {
      // A playlist's own clock may begin anew here. One playlist behind another may repeat the frames from the last
      // key frame on; wall time says how many.
      const repeated = fresh && this.endTime !== null && segment.time !== null ? (segment.time - this.endTime) / 1000 : 0;
      const place = this.end + (repeated < 0 && repeated > -15 ? repeated : 0);
      const offset = place - begins;
      if (Math.abs(offset - this.buffer.timestampOffset) > 0.1) this.buffer.timestampOffset = offset;
    }
    await this.feed(bytes);
    const place = begins + this.buffer.timestampOffset;
    this.marks.push({ place, time: segment.time });
    if (this.marks.length > MARKS_MAX) this.marks.splice(0, MARKS_MAX / 2);
    this.end = place + segment.duration;
    this.endTime = segment.time === null ? null : segment.time + segment.duration * 1000;
    if (this.wanted !== null) {
      // The first segment begins at a key frame, perhaps before the moment that was asked for.
      if (segment.time !== null && this.wanted > segment.time) this.video.currentTime = place + (this.wanted - segment.time) / 1000;
      this.wanted = null;
    }
    if (this.video.paused && !this.held) this.video.play().catch(() => {});
  }

  /** Appends the init segment if it is another than the last. True where it is. */
  async useMap(map) {
    if (map === null) throw new Error(t("no_init"));
    const key = `${map.url} ${map.range?.first ?? ""}`;
    if (key === this.map) return false;
    const bytes = await this.fetch(map);
    const { type, timescale } = readInit(bytes);
    if (!Source.isTypeSupported(type)) {
      throw new Undecodable(t("undecodable", { codec: /hvc1|hev1/.test(type) ? "H.265" : type }));
    }
    if (this.buffer === null) this.buffer = this.source.addSourceBuffer(type);
    else if (this.type !== type) this.buffer.changeType(type);
    Object.assign(this, { map: key, type, timescale });
    await this.feed(bytes);
    return true;
  }

  async fetch({ url, range }) {
    const headers = range ? { Range: `bytes=${range.first}-${range.last}` } : {};
    return new Uint8Array(await (await ask(url, { headers, signal: this.signal })).arrayBuffer());
  }

  async feed(bytes) {
    for (let tries = 0; ; tries += 1) {
      try {
        this.buffer.appendBuffer(bytes);
        break;
      } catch (error) {
        if (error.name !== "QuotaExceededError" || tries > 20) throw error;
        await this.forget(2);
        await pause(1_000, this.signal);
        this.signal.throwIfAborted();
      }
    }
    await this.updated();
    if (this.video.error) throw new Error(this.video.error.message || t("undecodable", { codec: this.type }));
  }

  async updated() {
    if (this.buffer.updating) await once(this.buffer, "updateend", this.signal);
  }

  /** Waits until little enough is buffered ahead; drops what was seen long ago. */
  async room() {
    await (this.buffer && this.forget(BEHIND_KEPT_S));
    while (this.end - this.video.currentTime > AHEAD_MAX_S) {
      await pause(250, this.signal);
      this.signal.throwIfAborted();
    }
  }

  async forget(keptSeconds) {
    const before = this.video.currentTime - keptSeconds;
    const { buffered } = this.buffer;
    if (buffered.length === 0 || buffered.start(0) >= before - 5) return;
    this.buffer.remove(0, before);
    await this.updated();
  }

  finish() {
    if (this.source?.readyState === "open") this.source.endOfStream();
    if (this.end === 0) this.onStatus(t("no_footage_on"), false);
  }

  /** A few times a second: says what is seen, leaps over holes, keeps live live. */
  tend() {
    const { video } = this;
    const { buffered } = video;
    if (this.marks === undefined || buffered.length === 0) return;
    const edge = buffered.end(buffered.length - 1);
    const lag = edge - video.currentTime;
    if (this.live && !this.held) {
      if (lag > LIVE_LAG_JUMP_S) video.currentTime = edge - LIVE_LAG_S;
      video.playbackRate = lag > LIVE_LAG_FAST_S ? 1.15 : 1;
    }
    if (!video.paused && video.readyState < 3) {
      for (let i = 0; i < buffered.length; i += 1) {
        if (buffered.start(i) > video.currentTime && buffered.start(i) - video.currentTime < 30) {
          video.currentTime = buffered.start(i) + 0.01;
          break;
        }
      }
    }
    this.tell();
  }

  /** Says what is seen. A picture that stands still must not pass for live. */
  tell() {
    const { video } = this;
    const now = performance.now();
    if (video.currentTime !== this.seenAt || this.held) {
      [this.seenAt, this.movedAt] = [video.currentTime, now];
      if (video.readyState < 2) return;
      this.onStatus("", false);
      const time = this.wall();
      if (time !== null) this.onTime(time);
    } else if (video.ended) {
      this.onStatus(t("end_of_footage"), false);
    } else if (now - this.movedAt > STILL_MS && this.wall() !== null) {
      this.onStatus(t("still_since", { time: clock(this.wall()) }), this.live);
    }
  }

  /** Wall time of the picture that is seen; null before the first. */
  wall() {
    if (this.stills) return this.shownAt ?? null;
    const at = this.video.currentTime;
    const mark = (this.marks ?? []).findLast((m) => m.place <= at + 0.05) ?? this.marks?.[0];
    return mark?.time == null ? null : mark.time + (at - mark.place) * 1000;
  }

  /** Moves to a moment if it is at hand. False where it must be fetched by a new player. */
  seek(time) {
    const mark = (this.marks ?? []).findLast((m) => m.time !== null && m.time <= time);
    if (!mark) return false;
    const place = mark.place + (time - mark.time) / 1000;
    const { buffered } = this.video;
    for (let i = 0; i < buffered.length; i += 1) {
      if (place >= buffered.start(i) && place < buffered.end(i) - 0.1) {
        this.video.currentTime = place;
        return true;
      }
    }
    return false;
  }

  /** Holds the picture or lets it go on. */
  hold(held) {
    this.held = held;
    if (held) this.video.pause();
    else this.video.play().catch(() => {});
  }

  /** Without Media Source for this video: the MP4 file itself, which some browsers decode where Media Source does not. */
  fallBack(from, why) {
    this.release();
    this.video.addEventListener("error", () => !this.signal.aborted && this.onStatus(why, true), { once: true, signal: this.signal });
    // Browsers without Media Source have HLS of their own.
    this.video.src = this.live ? `media/${this.stream}/live.m3u8` : mp4Url(this.stream, from, Math.min(from + WINDOW_MS, Date.now()));
    this.video.play().catch(() => {});
  }

  release() {
    const old = this.video.src;
    if (!old) return;
    this.video.removeAttribute("src");
    this.video.load();
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    this.source = null;
    this.marks = undefined;
  }
}

/** The next event of this name; throws where `signal` fires first. */
function once(target, name, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException("stopped", "AbortError"));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    target.addEventListener(name, () => { signal.removeEventListener("abort", abort); resolve(); }, { once: true });
  });
}
