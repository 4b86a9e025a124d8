// Plays what a camera sends now, picture by picture as it comes by WebSocket. The first message says how it is coded, as
// Media Source takes it; all that are not text go to Media Source as they are.

import { Lag } from "./lag.js";
import { readReferenceTime } from "./playlist.js";

const Source = window.ManagedMediaSource ?? window.MediaSource;
/** So much off its place behind the newest picture is made up for by showing faster or slower, and more by a leap. */
const SLACK_S = 0.06;
const LEAP_S = 0.8;
const FASTER = 1.06;
const SLOWER = 0.97;
/** Who sees nothing for so long looks for another way. */
const FIRST_WAIT_MS = 6_000;
/** What was seen is kept for so long. */
const KEPT_S = 20;
/** Pictures of which it is remembered when they were taken. */
const TIMES_MAX = 30;

/** Whether this browser could play so at all. */
export const canPlay = Source !== undefined && window.WebSocket !== undefined;

/** A codec that this browser does not have. */
export class Undecodable extends Error {}

export class LivePlayer {
  /** `url`: of `live.ws`. */
  constructor(video, url) {
    Object.assign(this, { video, url, queue: [], times: [], lag: new Lag(performance.now()), shown: false });
  }

  /** Plays until the connection ends; whether anything was seen of it. */
  async run() {
    const { video } = this;
    this.source = new Source();
    video.disableRemotePlayback = true;
    const address = URL.createObjectURL(this.source);
    video.src = address;
    const stalls = () => this.shown && !video.seeking && this.lag.stalled(performance.now());
    video.addEventListener("waiting", stalls);
    try {
      await new Promise((resolve) => this.source.addEventListener("sourceopen", resolve, { once: true }));
      await this.listen();
    } finally {
      video.removeEventListener("waiting", stalls);
      // By now the video may show something else.
      if (video.src === address) video.playbackRate = 1;
      this.socket?.close();
      URL.revokeObjectURL(address);
    }
    return this.shown;
  }

  /** Ends what runs. */
  stop() {
    this.stopped = true;
    this.socket?.close();
  }

  listen() {
    return new Promise((resolve, reject) => {
      if (this.stopped) return resolve();
      const url = new URL(this.url, document.baseURI);
      url.protocol = url.protocol.replace("http", "ws");
      this.socket = new WebSocket(url);
      this.socket.binaryType = "arraybuffer";
      const timer = setTimeout(() => this.shown || resolve(), FIRST_WAIT_MS);
      const end = () => { clearTimeout(timer); resolve(); };
      this.socket.addEventListener("close", end);
      this.socket.addEventListener("message", ({ data }) => {
        this.queue.push(data);
        try {
          this.feed();
        } catch (error) {
          clearTimeout(timer);
          reject(error);
        }
      });
      this.fail = (error) => { clearTimeout(timer); reject(error); };
    });
  }

  /** Hands on what came, all that is there in one go. */
  feed() {
    if (this.video.error) throw new Error(this.video.error.message || "the video cannot be decoded");
    while (this.queue.length > 0 && !this.buffer?.updating && this.source.readyState === "open") {
      if (typeof this.queue[0] === "string") {
        this.use(this.queue.shift());
        continue;
      }
      const next = this.queue.findIndex((message) => typeof message === "string");
      const messages = this.queue.splice(0, next < 0 ? this.queue.length : next);
      messages.forEach((message) => this.remember(message));
      const bytes = new Uint8Array(messages.reduce((sum, message) => sum + message.byteLength, 0));
      let at = 0;
      for (const message of messages) {
        bytes.set(new Uint8Array(message), at);
        at += message.byteLength;
      }
      this.append(bytes);
    }
  }

  use(type) {
    if (!Source.isTypeSupported(type)) throw new Undecodable(type);
    if (this.buffer) return this.buffer.changeType(type);
    this.buffer = this.source.addSourceBuffer(type);
    this.source.duration = Infinity;
    this.buffer.addEventListener("updateend", () => {
      try {
        this.tend();
        this.feed();
      } catch (error) {
        this.fail(error);
      }
    });
  }

  append(bytes) {
    try {
      this.buffer.appendBuffer(bytes);
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      // What does not fit is not what happens now any more.
      this.queue.length = 0;
      this.buffer.remove(0, Infinity);
    }
  }

  remember(message) {
    const time = readReferenceTime(new Uint8Array(message));
    if (time === null) return;
    this.times.push(time);
    if (this.times.length > TIMES_MAX) this.times.shift();
  }

  /** Stays close behind the newest picture. */
  tend() {
    const { video } = this;
    const { buffered } = this.buffer;
    if (buffered.length === 0) return;
    const last = buffered.length - 1;
    const [start, end] = [buffered.start(last), buffered.end(last)];
    const behind = end - video.currentTime;
    const lag = this.lag.at(performance.now());
    const leap = () => { video.currentTime = Math.max(start, end - lag); };
    if (!this.shown) {
      this.shown = true;
      leap();
      video.play().catch(() => {});
    } else if (!video.paused && !video.seeking) {
      if (video.currentTime < start - SLACK_S || behind > lag + LEAP_S) leap();
      else if (behind > lag + SLACK_S) video.playbackRate = FASTER;
      else if (behind < lag - SLACK_S) video.playbackRate = SLOWER;
      else video.playbackRate = 1;
    }
    if (end - buffered.start(0) > 2 * KEPT_S && !this.buffer.updating) this.buffer.remove(0, end - KEPT_S);
  }

  /** Wall time of the picture that is seen. */
  wall() {
    const at = this.video.currentTime;
    const time = this.times.findLast((t) => t.at <= at + 0.05);
    return time === undefined ? null : new Date(time.time + (at - time.at) * 1000);
  }
}
