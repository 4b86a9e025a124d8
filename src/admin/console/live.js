// The live grid: a muted tile per channel, playing while it can be seen.

import { Player } from "./player.js";
import { age, badge, bitrate, clock, h, reason, sentence, setBadge, setText, shortKey } from "./text.js";

/** Browsers decode only so many videos at once. */
const PLAYING_MAX = 9;

export class LiveView {
  constructor(root) {
    this.root = root;
    this.tiles = new Map();
    this.grid = h("div", { class: "grid", role: "list", "aria-label": "Live pictures" });
    this.empty = h("p", { class: "empty" }, "No streams yet.");
    root.append(this.grid, this.empty);
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) this.tiles.get(entry.target.dataset.stream).visible = entry.isIntersecting;
      this.choose();
    }, { threshold: 0.1 });
    this.hidden = () => this.choose();
    document.addEventListener("visibilitychange", this.hidden);
  }

  /** Shows the streams as they are now: one tile a channel, its small picture where that runs. */
  update({ streams }) {
    const channels = new Map();
    for (const stream of streams) {
      const channel = stream.key.slice(0, stream.key.lastIndexOf("/"));
      const better = stream.state === "running" && stream.key.endsWith("/sub");
      if (!channels.has(channel) || better) channels.set(channel, stream);
    }
    for (const [channel, tile] of this.tiles) {
      if (channels.get(channel)?.key !== tile.key) this.remove(channel);
    }
    for (const [channel, stream] of channels) {
      if (!this.tiles.has(channel)) this.add(channel, stream);
      this.tiles.get(channel).update(stream);
    }
    this.empty.hidden = channels.size > 0;
    this.choose();
  }

  add(channel, stream) {
    const tile = new Tile(stream.key, channel);
    this.tiles.set(channel, tile);
    const behind = [...this.tiles.keys()].filter((c) => order(c, channel) > 0).sort(order)[0];
    this.grid.insertBefore(tile.element, behind ? this.tiles.get(behind).element : null);
    this.observer.observe(tile.element);
  }

  remove(channel) {
    const tile = this.tiles.get(channel);
    this.observer.unobserve(tile.element);
    tile.stop();
    tile.element.remove();
    this.tiles.delete(channel);
  }

  /** Lets the first tiles that can be seen play, and no others. */
  choose() {
    let left = PLAYING_MAX;
    for (const channel of [...this.tiles.keys()].sort(order)) {
      const tile = this.tiles.get(channel);
      const wanted = tile.visible && !document.hidden && (tile.running || (tile.player && tile.retrying));
      tile.play(wanted && left > 0, wanted);
      if (wanted) left -= 1;
    }
  }

  close() {
    this.observer.disconnect();
    document.removeEventListener("visibilitychange", this.hidden);
    for (const tile of this.tiles.values()) tile.stop();
  }
}

/** By device, then by the channel's number. */
function order(a, b) {
  const [deviceA, channelA] = a.split("/");
  const [deviceB, channelB] = b.split("/");
  return deviceA < deviceB ? -1 : deviceA > deviceB ? 1 : Number(channelA) - Number(channelB);
}

class Tile {
  constructor(key, channel) {
    this.key = key;
    this.video = h("video", { muted: true, playsinline: true, tabindex: "-1", "aria-hidden": "true" });
    this.video.muted = true;
    this.name = h("span", { class: "name" });
    this.badge = badge("unknown");
    this.message = h("span", { class: "message", role: "status" });
    this.time = h("span", { class: "time" });
    this.facts = h("span", { class: "facts" });
    this.element = h("a", { class: "tile", role: "listitem", href: `#recordings/${key}`, "data-stream": channel },
      this.video,
      this.message,
      h("span", { class: "strip above" }, this.name, this.badge),
      h("span", { class: "strip below" }, this.time, this.facts));
  }

  update(stream) {
    this.running = stream.state === "running";
    // A player outlasts a short break: the playlist goes on behind it.
    this.retrying = stream.state === "connecting" || stream.state === "backoff";
    setText(this.name, stream.name ? `${stream.name} · ${shortKey(this.key)}` : shortKey(this.key));
    this.name.title = this.key;
    setBadge(this.badge, stream.state);
    setText(this.facts, this.running ? `${stream.fps.toFixed(0)} fps · ${bitrate(stream.bitrate)}` : "");
    this.element.setAttribute("aria-label", `${stream.name ?? this.key}, ${stream.state}, open recordings`);
    if (this.running) return;
    const last = stream.last_frame ? ` Last picture ${age(Date.now() - Date.parse(stream.last_frame))}.` : "";
    this.say(`${sentence(reason(stream.reason) || stream.state)}${last}`, stream.state !== "connecting");
  }

  play(play, wanted) {
    if (play && !this.player) {
      this.say("Loading", false);
      this.player = new Player(this.video, this.key, null, {
        // While the stream does not run, why it does not is said instead.
        onStatus: (text, failed) => this.running && this.say(text, failed),
        onTime: (time) => setText(this.time, clock(time)),
      });
    } else if (!play && this.player) {
      this.stop();
    }
    if (!play && wanted) this.say(`Paused: ${PLAYING_MAX} pictures play at once. Scroll to choose which.`, false);
  }

  say(text, failed) {
    setText(this.message, text);
    this.element.classList.toggle("failed", failed && text !== "");
    this.element.classList.toggle("quiet", text !== "");
  }

  stop() {
    this.player?.stop();
    this.player = null;
    setText(this.time, "");
  }
}
