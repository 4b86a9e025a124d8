// What is known of one stream's time: where there is footage, where there is none, and why.

import { gaps, recordings } from "./api.js";
import { feed } from "./feed.js";
import { kindOf } from "./advice.js";

/** So much more than is seen is fetched at each side, of what is seen. */
const MARGIN = 0.5;
/** What is recorded now grows by itself until an event says otherwise; it is looked at again so seldom. */
const FRESH_MS = 30_000;
/** Footage that ends so little ago goes on. */
const GROWS_MS = 5_000;
/** The newest frames are on their way to the disk. */
const LAG_MS = 1_000;

export class Track {
  spans = [];
  gaps = [];
  #from = null;
  #to = null;
  #at = 0;
  #grows = false;

  constructor(key) {
    this.key = key;
  }

  /** Something of it has changed. */
  spoil() {
    this.#at = 0;
    this.#grows = false;
  }

  /** Lets what is being recorded reach up to now. */
  grow() {
    const last = this.spans.at(-1);
    if (this.#grows && feed.streams.get(this.key)?.state === "running") last.end = Math.max(last.end, feed.now() - LAG_MS);
  }

  /** Sees to it that an interval is known. True where something was fetched. */
  async load(from, to, signal) {
    const now = feed.now();
    const inside = this.#from !== null && this.#from <= from && to <= this.#to;
    const isOver = to < this.#at;
    if (inside && this.#at > 0 && (isOver || now - this.#at < FRESH_MS)) return false;
    const [first, last] = [from - (to - from) * MARGIN, to + (to - from) * MARGIN];
    const [spans, holes] = await Promise.all([recordings(this.key, first, last, { signal }), gaps(this.key, first, last, { signal })]);
    Object.assign(this, { spans, gaps: holes });
    [this.#from, this.#to, this.#at] = [first, last, now];
    const end = spans.at(-1)?.end ?? 0;
    this.#grows = last > now && now - end < GROWS_MS && feed.streams.get(this.key)?.recording === true;
    return true;
  }

  spanAt(time) {
    return this.spans.find((s) => s.start <= time && time < s.end);
  }

  gapAt(time) {
    return this.gaps.find((g) => g.start <= time && time < (g.end ?? feed.now()));
  }

  /** Bytes of an interval, as far as its spans tell. */
  bytesOf(from, to) {
    return this.#sum(this.spans, from, to, (s, part) => s.bytes * part);
  }

  secondsOf(from, to) {
    return this.#sum(this.spans, from, to, (s, part) => ((s.end - s.start) / 1000) * part);
  }

  /** The part of what was wanted that is there; null where nothing was. */
  coverage(from, to) {
    const missing = this.#sum(this.gaps.filter((g) => kindOf(g.cause) !== "wanted"), from, to, (g, part) => (((g.end ?? feed.now()) - g.start) / 1000) * part);
    const there = this.secondsOf(from, to);
    return there + missing > 0 ? there / (there + missing) : null;
  }

  #sum(list, from, to, of) {
    let sum = 0;
    for (const one of list) {
      const end = one.end ?? feed.now();
      const overlap = Math.min(end, to) - Math.max(one.start, from);
      if (overlap > 0 && end > one.start) sum += of(one, overlap / (end - one.start));
    }
    return sum;
  }
}
