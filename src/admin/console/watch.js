// Shows one stream live by the quickest way that works, and goes on to the next where one does not.

import { pause } from "./dom.js";
import { t } from "./words.js";
import { WAYS } from "./ways.js";

const RETRY_MS = 1_000;
/** A picture that stands still for so long is called that: it must not pass for live. */
const STILL_MS = 3_000;
const LOOK_MS = 250;

export class Watch {
  /** `onWay(name)`, `onStatus(text, failed)`: empty while pictures come; `onTime(ms)`: wall time of what is seen. */
  constructor(video, stream, { onWay = () => {}, onStatus = () => {}, onTime = () => {} } = {}) {
    Object.assign(this, { video, stream, onWay, onStatus, onTime });
    this.stopping = new AbortController();
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.loop();
  }

  stop() {
    this.stopping.abort();
    clearInterval(this.timer);
    this.player?.stop();
    this.video.removeAttribute("src");
    this.video.removeAttribute("poster");
    this.video.load();
  }

  async loop() {
    const { signal } = this.stopping;
    const ways = WAYS.filter((way) => way.can());
    for (let number = 0; !signal.aborted;) {
      const way = ways[number];
      this.onWay(way.name);
      this.seenAt = null;
      this.player = way.open(this.video, this.stream, (text, failed) => this.say(text, failed));
      let shown = false;
      try {
        shown = await this.player.run();
      } catch {
        // The next way says what is the matter.
      }
      if (signal.aborted) return;
      this.player.stop();
      // What went well once is tried again; what never showed anything gives way.
      if (!shown) number = (number + 1) % ways.length;
      this.say(shown ? t("broke_off") : t("loading"), false);
      await pause(RETRY_MS, signal);
    }
  }

  say(text, failed) {
    if (!this.stopping.signal.aborted) this.onStatus(text, failed);
  }

  look() {
    const { video } = this;
    const now = performance.now();
    if (video.readyState < 2) return;
    if (video.currentTime !== this.seenAt) {
      [this.seenAt, this.movedAt] = [video.currentTime, now];
      this.say("", false);
      const wall = this.player?.wall();
      if (wall !== null && wall !== undefined) this.onTime(wall);
    } else if (now - this.movedAt > STILL_MS && !video.paused) {
      this.say(t("still"), true);
    }
  }
}
