// The daemon itself: room and how long it lasts, load, versions, the config, and what happens.

import { metrics } from "./api.js";
import { configView } from "./config.js";
import { h, keep, setAttribute, setText } from "./dom.js";
import { feed } from "./feed.js";
import { LogView } from "./log.js";
import { POINTS_MAX, Plot } from "./plot.js";
import { session } from "./session.js";
import { bytes, bitrate, count, duration, timeOf } from "./units.js";
import { t } from "./words.js";

const MEASURE_MS = 5_000;
const TABS = ["overview", "events", "config"];

export function open(root, argument, signal) {
  return new SystemPage(root, argument, signal);
}

class SystemPage {
  constructor(root, argument, signal) {
    Object.assign(this, { signal, past: { cpu: [], memory: [], rate: [] } });
    this.links = TABS.filter((tab) => tab !== "config" || session.operates).map((tab) => h("a", { class: "button", href: `#/system/${tab}`, "data-tab": tab }, t(`tab_${tab}`)));
    this.place = h("div", {});
    root.append(h("div", { class: "bar" }, h("h1", {}, t("page_system")), h("nav", { class: "group tabs", "aria-label": t("page_system") }, this.links)), this.place);
    this.plots = { cpu: new Plot("rate", t("cpu")), memory: new Plot("slow", t("memory")), rate: new Plot("rate", t("footage_rate")) };
    feed.on("change", signal, () => this.show());
    feed.measure(signal);
    const timer = setInterval(() => !document.hidden && !feed.away && this.measure(), MEASURE_MS);
    signal.addEventListener("abort", () => { clearInterval(timer); this.tab?.abort(); });
    this.go(argument);
    // Two looks make a rate.
    this.measure().then(() => setTimeout(() => this.measure(), 1_000));
  }

  go(argument) {
    const tab = this.links.some((l) => l.dataset.tab === argument) ? argument : "overview";
    this.tab?.abort();
    this.tab = new AbortController();
    for (const link of this.links) setAttribute(link, "aria-current", link.dataset.tab === tab ? "page" : null);
    this.cards = null;
    this.place.replaceChildren();
    if (tab === "events") this.place.append(new LogView(this.tab.signal).element);
    else if (tab === "config") this.place.append(configView(this.tab.signal));
    else this.place.append((this.cards = h("div", { class: "cards" })));
    this.show();
    return true;
  }

  async measure() {
    const found = await metrics(this.signal).catch(() => null);
    if (!found) return;
    const value = (name) => found.get(`skyvis_${name}`)?.[0]?.value ?? null;
    const now = { at: performance.now() / 1000, cpu: value("process_cpu_seconds_total"), memory: value("process_resident_memory_bytes"), cores: value("process_cores"), host: value("host_memory_bytes"), store: value("store_bytes"), threads: value("process_threads"), fds: value("process_open_fds") };
    const push = (list, v) => { list.push(v); if (list.length > POINTS_MAX) list.shift(); };
    if (this.now && now.cpu !== null) push(this.past.cpu, (now.cpu - this.now.cpu) / (now.at - this.now.at));
    push(this.past.memory, now.memory);
    push(this.past.rate, rateOf());
    this.now = now;
    this.show();
  }

  show() {
    const { status } = feed;
    if (!this.cards || !status) return;
    const { disk, counts } = status;
    const { now, past } = this;
    const rate = rateOf();
    const running = counts.streams.running ?? 0;
    const cpu = past.cpu.at(-1) ?? null;
    const cards = [
      { key: "disk", title: t("disk"), value: t("free_of", { free: bytes(disk.free_bytes), all: bytes(disk.total_bytes) }), bar: disk.total_bytes ? 1 - disk.free_bytes / disk.total_bytes : 0, bad: disk.state !== "ok",
        facts: [[t("state"), disk.state === "ok" ? t("ok") : `${disk.error ?? disk.state} ${disk.advice ?? ""}`], [t("path"), disk.path], [t("footage"), bytes(disk.footage_bytes)], [t("footage_rate"), rate ? `${bytes(rate * 86_400)} / ${t("unit_d")}` : "–"], [t("days_left"), daysLeft(disk.free_bytes, rate)]], plot: ["rate", past.rate] },
      { key: "load", title: t("load"), value: cpu === null ? "…" : t("cores_used", { n: cpu.toFixed(2), all: now.cores ?? "–" }), bar: cpu !== null && now.cores ? cpu / now.cores : 0,
        facts: [[t("streams_running_short"), count(running)], [t("streams_per_core"), cpu > 0.005 ? (running / cpu).toFixed(0) : "–"], [t("viewers"), count(counts.readers)], [t("footage_rate"), bitrate(rate * 8)]], plot: ["cpu", past.cpu] },
      { key: "memory", title: t("memory"), value: now ? bytes(now.memory) : "…", bar: now?.host ? now.memory / now.host : 0,
        facts: [[t("host_memory"), bytes(now?.host)], [t("store"), bytes(now?.store)], [t("threads"), count(now?.threads ?? 0)], [t("descriptors"), count(now?.fds ?? 0)]], plot: ["memory", past.memory] },
      { key: "version", title: t("version"), value: `skyvis ${status.version}`, bar: null,
        facts: [[t("node"), status.node], [t("phase"), t(`phase_${status.phase}`)], [t("up"), duration(status.uptime_seconds)], [t("host_time"), timeOf(Date.parse(status.time))], [t("catalog"), `${status.catalog_version ?? "–"} / ${status.route_table_version ?? "–"}`], [t("last_event"), count(status.last_event)]] },
      { key: "devices", title: t("page_cameras"), value: t("streams_running", { running, all: feed.streams.size }), bar: null,
        facts: [...Object.entries(counts.devices).filter(([, n]) => n > 0).map(([state, n]) => [t("devices_in", { state: t(`state_${state}`) }), count(n)]), ...Object.entries(counts.streams).filter(([, n]) => n > 0).map(([state, n]) => [t("streams_in", { state: t(`state_${state}`) }), count(n)]), [t("streams_recorded"), count(counts.recording)]] },
    ];
    keep(this.cards, cards, (c) => c.key, (c) => this.card(c), (e, c) => e.show(c));
  }

  card(of) {
    const title = h("h2", {}, of.title);
    const value = h("p", { class: "value" });
    const bar = h("span", { class: "fill" });
    const meter = h("span", { class: "amount" }, bar);
    const facts = h("dl", { class: "pairs" });
    const plot = of.plot ? this.plots[of.plot[0]] : null;
    const element = h("section", { class: "card", "data-card": of.key }, title, value, meter, plot?.element, facts);
    element.show = (c) => {
      setText(value, c.value);
      meter.hidden = c.bar === null;
      bar.style.width = `${Math.min(1, Math.max(0, c.bar ?? 0)) * 100}%`;
      element.classList.toggle("bad", c.bad === true);
      plot?.draw(c.plot[1], `${c.title} ${c.value}`);
      const text = JSON.stringify(c.facts.map(([k, v]) => [k, typeof v === "string" ? v : v.textContent]));
      if (element.dataset.facts === text) return;
      element.dataset.facts = text;
      facts.replaceChildren(...c.facts.map(([k, v]) => [h("dt", {}, k), h("dd", {}, typeof v === "string" ? h("bdi", {}, v) : v)]).flat());
    };
    return element;
  }
}

/** Bytes a second that are recorded now. */
function rateOf() {
  let bits = 0;
  for (const stream of feed.streams.values()) if (stream.recording && stream.state === "running") bits += stream.bitrate;
  return bits / 8;
}

function daysLeft(free, rate) {
  if (!rate) return "–";
  return duration(free / rate);
}
