// Every device and channel: how it is, since when, why, and what to do about it.

import { coverage, list, post } from "./api.js";
import { adviceFor, reasonOf } from "./advice.js";
import { badge, setBadge } from "./badge.js";
import { button, copy, h, isolated, named, setAttribute, setText } from "./dom.js";
import { nothing } from "./empty.js";
import { feed } from "./feed.js";
import { session } from "./session.js";
import { age, bitrate, channelOf, duration, percent, shortKey, timeOf } from "./units.js";
import { Windowed, filterField, fits } from "./windowed.js";
import { t } from "./words.js";

const DAY_MS = 86_400_000;
/** Coverage of the last day changes slowly. */
const COVERAGE_KEPT_MS = 60_000;
const STATES = ["all", "bad", "online"];

export function open(root, argument, signal) {
  return new CamerasPage(root, argument, signal);
}

class CamerasPage {
  constructor(root, argument, signal) {
    Object.assign(this, { signal, filter: argument, state: "all", covered: new Map(), asking: 0, detail: null });
    this.empty = nothing("cameras");
    this.field = filterField(t("filter"), (text) => { this.filter = text; this.update(); });
    this.field.value = argument;
    this.choose = h("select", { "aria-label": t("which_state"), onchange: () => { this.state = this.choose.value; this.update(); } }, STATES.map((s) => h("option", { value: s }, t(`show_${s}`))));
    this.sum = h("p", { class: "sum", role: "status" });
    this.window = new Windowed({ label: t("page_cameras"), signal, keyOf: (row) => row.key, make: (row) => this.make(row), update: (e, row) => e.show(row), onSeen: (rows) => this.ask(rows) });
    root.append(h("div", { class: "bar" }, h("h1", {}, t("page_cameras")), this.field, this.choose, this.sum), this.empty, this.window.element);
    feed.on("change", signal, () => this.update());
    feed.measure(signal);
    this.update();
  }

  go(argument) {
    this.filter = this.field.value = argument;
    this.update();
    return true;
  }

  /** A row a device and, below it, one a stream. */
  rows() {
    const streams = new Map();
    for (const stream of feed.streams.values()) {
      const channel = channelOf(stream.key);
      if (!streams.has(channel)) streams.set(channel, []);
      streams.get(channel).push(stream);
    }
    const rows = [];
    for (const device of [...feed.devices.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
      const below = [];
      for (const channel of device.channels) {
        const id = `${device.id}/${channel.channel}`;
        const found = streams.get(id) ?? [null];
        for (const stream of found.sort((a, b) => (a?.key < b?.key ? -1 : 1))) below.push({ key: stream?.key ?? id, device, channel, stream });
      }
      const seen = below.filter((row) => this.isSeen(row));
      const own = { key: device.id, device, channel: null, stream: null };
      if (seen.length > 0 || this.isSeen(own)) rows.push(own, ...seen);
    }
    return rows;
  }

  isSeen({ device, channel, stream }) {
    const well = stream ? stream.state === "running" && !stream.reason : (channel ?? device).presence === "online";
    if (this.state === "bad" && well) return false;
    if (this.state === "online" && !well) return false;
    return fits(this.filter, device.id, device.name ?? "", device.address, device.model ?? "", stream?.key ?? "", channel?.name ?? "", stream?.state ?? device.presence, stream?.codec ?? "");
  }

  update() {
    this.empty.hidden = feed.status === null || feed.devices.size > 0;
    this.window.set(this.rows());
    const all = [...feed.streams.values()];
    const running = all.filter((s) => s.state === "running").length;
    setText(this.sum, feed.status ? t("streams_running", { running, all: all.length }) : t("loading"));
    this.detail?.show();
  }

  make(row) {
    return row.stream || row.channel ? streamRow(this, row) : deviceRow(this);
  }

  /** The coverage of what is seen, one after the other. */
  async ask(rows) {
    const now = Date.now();
    this.wanted = rows.filter((row) => row.stream && now - (this.covered.get(row.key)?.at ?? 0) > COVERAGE_KEPT_MS);
    if (this.asking) return;
    this.asking = true;
    while (this.wanted.length > 0 && !this.signal.aborted) {
      const { key } = this.wanted.shift();
      const part = await coverage(key, feed.now() - DAY_MS, feed.now(), { signal: this.signal }).catch(() => undefined);
      this.covered.set(key, { at: Date.now(), part });
      this.window.draw();
    }
    this.asking = false;
  }

  openDetail(row) {
    this.detail = openDetail(row.key, this);
  }
}

/** Does something that takes a while, and says so on the button; what goes wrong is said beside it. */
async function act(element, work, said) {
  element.disabled = true;
  try {
    await work();
    setText(said, t("done"));
  } catch (error) {
    setText(said, error.message);
  }
  element.disabled = false;
}

function deviceRow(page) {
  const name = h("strong", {});
  const what = h("span", { class: "dim what" });
  const mark = badge("unknown");
  const since = h("span", { class: "dim" });
  const why = h("span", { class: "why" });
  const said = h("span", { class: "dim", role: "status" });
  let shown = null;
  const again = button(t("reconnect"), { class: "small", "data-reconnect": true, hidden: !session.operates }, () => act(again, () => post(`devices/${shown.device.id}/reconnect`), said));
  const more = button(t("details"), { class: "small" }, () => page.openDetail(shown));
  const element = h("div", { class: "device-row" }, h("div", { class: "head" }, name, what, mark, since), h("div", { class: "tail" }, why), h("div", { class: "acts" }, said, again, more));
  element.show = (row) => {
    shown = row;
    const { device } = row;
    setAttribute(element, "data-device", device.id);
    setText(name, shortKey(device.id));
    setText(what, [device.name, device.model, device.address].filter(Boolean).map(isolated).join(" · ").slice(0, 200));
    setBadge(mark, device.presence);
    setText(since, t("since", { age: duration((feed.now() - Date.parse(device.since)) / 1000) }));
    const advice = adviceFor(device, null, null);
    setText(why, [device.error && reasonOf(device.error), advice, device.warning].filter(Boolean).join(" "));
    setAttribute(why, "title", why.textContent.slice(0, 400));
    setAttribute(again, "aria-label", `${t("reconnect")}: ${device.id}`);
    setAttribute(more, "aria-label", `${t("details")}: ${device.id}`);
  };
  return element;
}

const CELLS = ["codec", "rate", "last", "reconnects", "skew", "covered"];

function streamRow(page) {
  const name = named("", { class: "name" });
  const mark = badge("unknown");
  const since = h("span", { class: "dim since" });
  const why = h("span", { class: "why" });
  const cells = Object.fromEntries(CELLS.map((cell) => [cell, h("span", {})]));
  const facts = h("dl", { class: "facts" }, CELLS.map((cell) => h("div", { class: `cell-${cell}` }, h("dt", {}, t(`col_${cell}`)), h("dd", {}, cells[cell]))));
  const live = h("a", { class: "button small" }, t("page_live"));
  const back = h("a", { class: "button small" }, t("page_timeline"));
  let shown = null;
  const more = button(t("details"), { class: "small" }, () => page.openDetail(shown));
  const element = h("div", { class: "stream-row" }, h("div", { class: "head" }, name, mark, since), facts, h("div", { class: "tail" }, why), h("div", { class: "acts" }, live, back, more));
  element.show = (row) => {
    shown = row;
    const { device, channel, stream, key } = row;
    setAttribute(element, "data-stream", key);
    const label = channel?.name ?? stream?.name;
    setText(name, (label ? `${isolated(label.slice(0, 120))} · ${shortKey(key)}` : shortKey(key)).slice(0, 200));
    setAttribute(name, "title", key);
    setBadge(mark, stream?.state ?? channel.presence);
    setText(since, channel ? t("since", { age: duration((feed.now() - Date.parse(channel.since)) / 1000) }) : "");
    const running = stream?.state === "running";
    const covered = page.covered.get(key)?.part;
    const texts = {
      codec: stream?.codec ? `${codecName(stream.codec)} ${stream.width ?? "–"}×${stream.height ?? "–"}` : "–",
      rate: running ? `${stream.fps.toFixed(1)} fps · ${bitrate(stream.bitrate)}` : "–",
      last: stream?.last_frame ? age(feed.now() - Date.parse(stream.last_frame)) : "–",
      reconnects: stream ? String(stream.reconnects) : "–",
      skew: skewOf(stream),
      covered: covered === undefined ? "…" : covered === null ? "–" : percent(covered),
    };
    for (const [cell, text] of Object.entries(texts)) setText(cells[cell], text);
    cells.covered.classList.toggle("wrong", typeof covered === "number" && covered < 0.99);
    const reason = stream?.reason ?? channel?.reason;
    setText(why, [reason && (stream?.state !== "running" || stream?.reason) ? reasonOf(reason) : "", running && !stream.reason ? "" : adviceFor(device, channel, stream)].filter(Boolean).join(" "));
    setAttribute(why, "title", why.textContent.slice(0, 400));
    setAttribute(live, "href", `#/live/${channelOf(key)}`);
    setAttribute(back, "href", `#/timeline/${key}`);
    for (const [link, word] of [[live, "page_live"], [back, "page_timeline"], [more, "details"]]) setAttribute(link, "aria-label", `${t(word)}: ${key}`);
  };
  return element;
}

const codecName = (codec) => codec.toUpperCase().replace("H26", "H.26");
const skewOf = (stream) => (stream?.clock_skew_ms === null || stream?.clock_skew_ms === undefined ? "–" : signed(stream.clock_skew_ms / 1000));
const signed = (seconds) => `${seconds >= 0.05 ? "+" : ""}${(Math.round(seconds * 10) / 10 + 0).toFixed(1)} ${t("unit_s")}`;

/** Everything of one device or stream, with what can be done. */
function openDetail(key, page) {
  const facts = h("dl", { class: "pairs" });
  const urls = h("ul", { class: "urls" });
  const said = h("p", { role: "status" });
  const acts = h("div", { class: "bar end" });
  const dialog = h("dialog", { class: "detail", "aria-labelledby": "detail-title", onclose: () => { dialog.remove(); page.detail = null; } },
    h("h2", { id: "detail-title" }, named(key)), facts, h("h3", {}, t("media_urls")), urls, said, acts);
  const find = () => page.window.items.find((row) => row.key === key) ?? null;
  const show = () => {
    const row = find();
    if (!row) return;
    const { device, channel, stream } = row;
    const subject = stream ?? channel ?? device;
    const pairs = [
      ["state", t(`state_${subject.state ?? subject.presence}`)],
      ["since_when", timeOf(Date.parse((channel ?? device).since))],
      ["why", [subject.reason ?? device.error].filter(Boolean).map(reasonOf).join(" ") || null],
      ["what_to_do", adviceFor(device, channel, stream) || null],
      ["until", device.until && timeOf(Date.parse(device.until))],
      ["warning", device.warning],
      ["device", named([device.name, device.model, device.serial, device.firmware].filter(Boolean).join(" · "))],
      ["address", device.address],
      ...(stream ? [
        ["col_codec", stream.codec && `${codecName(stream.codec)} ${stream.width}×${stream.height}`],
        ["audio", stream.audio && `${stream.audio.codec ?? ""} ${stream.audio.handling ?? ""}`],
        ["col_rate", `${stream.fps.toFixed(1)} fps · ${bitrate(stream.bitrate)}`],
        ["last_frame", stream.last_frame && timeOf(Date.parse(stream.last_frame))],
        ["col_reconnects", String(stream.reconnects)], ["packets_lost", String(stream.packets_lost)], ["col_skew", skewOf(stream)],
        ["recording", t(stream.recording ? "yes" : "no")], ["viewers", String(stream.readers)],
        ["paused_until", stream.pause && (stream.pause.until ? timeOf(Date.parse(stream.pause.until)) : t("until_resumed"))],
      ] : []),
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
    facts.replaceChildren(...pairs.map(([word, value]) => [h("dt", {}, t(word)), h("dd", {}, typeof value === "string" ? named(value) : value)]).flat());
    // The buttons stay, and the focus on them, unless another one is due.
    const due = stream?.pause ? "resume" : "pause";
    if (acts.dataset.due === due) return;
    acts.dataset.due = due;
    acts.replaceChildren(...buttons(row, said, dialog));
  };
  show();
  const row = find();
  fillUrls(urls, row);
  document.body.append(dialog);
  dialog.showModal();
  return { show };
}

function buttons({ device, stream }, said, dialog) {
  const close = button(t("close"), {}, () => dialog.close());
  if (!session.operates) return [close];
  const again = button(t("reconnect"), {}, () => act(again, () => post(`devices/${device.id}/reconnect`), said));
  if (!stream) return [again, close];
  const verb = stream.pause ? "resume" : "pause";
  const hold = button(t(`${verb}_recording`), {}, () => act(hold, () => post(`streams/${stream.key}/${verb}`), said));
  return [hold, again, close];
}

/** Where others fetch the pictures: from the device, and from here. */
async function fillUrls(element, { key, device, channel, stream }) {
  const urls = [];
  try {
    const rows = await list("media-urls");
    urls.push(...rows.filter((r) => r.device_index === device.id && (!channel || r.channel === channel.channel)).map((r) => [r.channel, r.media_url]));
  } catch {
    // What is ours is said all the same.
  }
  if (stream) for (const name of ["live.m3u8", "live.ws", "snapshot.jpg"]) urls.push([null, new URL(`media/${key}/${name}`, document.baseURI).href]);
  element.replaceChildren(...urls.map(([n, url]) => h("li", {}, n ? `${n} ` : "", h("code", {}, url), " ", button(t("copy"), { class: "small", "aria-label": `${t("copy")}: ${url}` }, (event) => copy(url).then((done) => setText(event.target, t(done ? "copied" : "copy_by_hand")))))));
  if (urls.length === 0) element.replaceChildren(h("li", { class: "dim" }, t("none")));
}
