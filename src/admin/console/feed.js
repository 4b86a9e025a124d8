// What is known of the daemon, kept up to date by its event stream: what an event names is asked for again, and nothing
// else. After a break the stream goes on behind the last event that was seen.

import { ask, json, list } from "./api.js";
import { pause, settle } from "./dom.js";

/** Files are begun and closed all the time, and nothing that the pages show depends on it. */
const KINDS = "!segment.*";
/** The log begins so many events ago, those of files among them; and how many are kept. */
const BACK = 3_000;
const KEPT = 2_000;
/** The daemon sends a word each 15 s; a connection that is silent for so long is none. */
const SILENCE_MS = 40_000;
const RETRY_MS = 1_000;
/** Things that one burst of events names and that are asked for one by one; beyond that, all at once. */
const ONE_BY_ONE = 8;
const SETTLE_MS = 40;
/** What is measured (rates, ages, room) has no events; it is looked at so often while somebody looks at it. */
const MEASURE_MS = 5_000;

class Feed extends EventTarget {
  status = null;
  devices = new Map();
  streams = new Map();
  events = [];
  /** How far the daemon's clock is ahead of this one, in ms. */
  offset = 0;
  away = false;
  #dirty = { devices: new Set(), streams: new Set(), status: false, all: false };
  #flush = settle(SETTLE_MS, () => this.#catchUp());
  #watchers = 0;

  /** The daemon's time. */
  now() {
    return Date.now() + this.offset;
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Calls `work` when something of these happens, until `signal` fires: `change`, `event`, `away`. */
  on(types, signal, work) {
    for (const type of types.split(" ")) this.addEventListener(type, (event) => work(event.detail), { signal });
  }

  /** Reads everything, and follows what happens for as long as the page lives. */
  async run(signal) {
    let last = null;
    while (!signal.aborted) {
      try {
        const status = await this.#all();
        // The first time what was before is for the log alone; after a break, for both.
        last ??= Math.max(0, status.last_event - BACK);
        this.#setAway(false);
        last = await this.#follow(last, status.last_event, signal, (id) => { last = id; });
      } catch (error) {
        if (signal.aborted || error.status === 401) return;
      }
      this.#setAway(true);
      await pause(RETRY_MS, signal);
    }
  }

  #setAway(away) {
    if (this.away === away) return;
    this.away = away;
    this.tell("away");
  }

  async #all() {
    const [status, devices, streams] = await Promise.all([json("status"), list("devices"), list("streams")]);
    this.devices = new Map(devices.map((d) => [d.id, d]));
    this.streams = new Map(streams.map((s) => [s.key, s]));
    this.#setStatus(status);
    this.tell("change");
    return status;
  }

  #setStatus(status) {
    this.status = status;
    this.offset = Date.parse(status.time) - Date.now();
  }

  async #follow(last, known, signal, seen) {
    const cut = new AbortController();
    const stop = () => cut.abort();
    signal.addEventListener("abort", stop);
    // The browser knows at once that its network is gone; the connection would not for a long time.
    addEventListener("offline", stop);
    let timer = setTimeout(stop, SILENCE_MS);
    const alive = () => { clearTimeout(timer); timer = setTimeout(stop, SILENCE_MS); };
    try {
      const response = await ask(`api/v1/events?${new URLSearchParams({ kind: KINDS })}`, { headers: { "Last-Event-ID": String(last) }, signal: cut.signal });
      for await (const data of messages(response.body, alive)) {
        const event = JSON.parse(data);
        last = event.id;
        seen(last);
        this.#take(event, event.id > known);
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      removeEventListener("offline", stop);
    }
    return last;
  }

  #take(event, fresh) {
    this.events.push(event);
    if (this.events.length > KEPT) this.events.splice(0, KEPT / 4);
    if (fresh) this.#mark(event);
    this.tell("event", { event, fresh });
  }

  /** What an event says is shown at once; what it leaves out is asked for. */
  #mark({ kind, subject, data }) {
    const [family] = kind.split(".");
    if (family === "stream") {
      const stream = this.streams.get(subject);
      if (stream && data?.state) {
        this.streams.set(subject, { ...stream, state: data.state, reason: data.reason ?? null });
        this.tell("change");
      }
      this.#dirty.streams.add(subject);
    } else if (family === "recording" || family === "transcode") {
      this.#dirty.streams.add(subject);
    } else if (family === "presence") {
      this.#dirty.devices.add(subject.split("/")[0]);
    } else if (family === "disk") {
      this.#dirty.status = true;
    } else if (family === "config") {
      this.#dirty.all = true;
    } else {
      return;
    }
    this.#flush();
  }

  async #catchUp() {
    const { devices, streams, status, all } = this.#dirty;
    this.#dirty = { devices: new Set(), streams: new Set(), status: false, all: false };
    try {
      if (all || devices.size + streams.size > ONE_BY_ONE) {
        await this.#all();
        return;
      }
      const one = async (known, path, key) => {
        try {
          known.set(key, await json(`${path}/${key}`));
        } catch (error) {
          if (error.status !== 404) throw error;
          known.delete(key);
        }
      };
      await Promise.all([
        ...[...devices].map((id) => one(this.devices, "devices", id)),
        ...[...streams].map((key) => one(this.streams, "streams", key)),
        status ? json("status").then((s) => this.#setStatus(s)) : null,
      ]);
      this.tell("change");
    } catch {
      // The stream of events breaks as well, and everything is read when it is back.
    }
  }

  /** Has what is measured looked at for as long as somebody looks at it. */
  measure(signal) {
    this.#watchers += 1;
    signal.addEventListener("abort", () => { this.#watchers -= 1; });
    if (this.#watchers === 1) this.#measure();
  }

  async #measure() {
    while (this.#watchers > 0) {
      await pause(MEASURE_MS);
      if (this.#watchers === 0 || document.hidden || this.away) continue;
      await this.#all().catch(() => {});
    }
  }
}

/** The data of each server-sent event of a body; `alive` at each sign of life. */
async function* messages(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart());
      if (data.length > 0) yield data.join("\n");
    }
  }
}

export const feed = new Feed();
