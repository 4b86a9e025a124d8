// The console: which view is shown, what is known of the daemon, the token.

import { ask, events, json, list, pause, pauseStream, setToken } from "./api.js";
import { LiveView } from "./live.js";
import { RecordingsView } from "./recordings.js";
import { age, badge, bitrate, bytes, clock, duration, h, reason, setBadge, setText, shortKey } from "./text.js";

const REFRESH_MS = 1_000;
/** How many past events the list of events begins with, and how many lines it keeps. */
const EVENTS_BACK = 200;
const EVENTS_KEPT = 500;

const main = document.getElementById("main");
const known = { status: null, devices: [], streams: [] };
let view = null;

/** Devices and streams as a table. */
class StreamsView {
  constructor(root) {
    this.rows = new Map();
    this.devices = h("div", { class: "devices" });
    this.body = h("tbody");
    const heads = ["Stream", "State", "Codec", "Size", "fps", "Bitrate", "Last frame", "Reconnects", "Viewers", "", "Why"];
    const numeric = new Set(["fps", "Bitrate", "Last frame", "Reconnects", "Viewers"]);
    const row = h("tr", {}, heads.map((t) => h("th", { scope: "col", class: numeric.has(t) ? "number" : null }, t)));
    root.append(
      h("h1", {}, "Devices"), this.devices,
      h("h1", {}, "Streams"),
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, row), this.body)));
  }

  update({ devices, streams }) {
    this.devices.replaceChildren(...devices.map((device) => deviceCard(device, devices)));
    const keys = new Set(streams.map((s) => s.key));
    for (const [key, row] of this.rows) if (!keys.has(key)) { row.element.remove(); this.rows.delete(key); }
    for (const stream of streams) {
      if (!this.rows.has(stream.key)) this.rows.set(stream.key, new StreamRow(stream.key, this.body));
      this.rows.get(stream.key).update(stream);
    }
    if (streams.length === 0 && this.rows.size === 0) this.body.replaceChildren(h("tr", {}, h("td", { colspan: 11, class: "dim" }, "No streams yet.")));
    else this.body.querySelector("td[colspan]")?.parentElement.remove();
  }

  close() {}
}

function deviceCard(device, all) {
  const gateway = device.kind === "gateway";
  const parts = gateway ? all.filter((d) => d.id.startsWith(`${device.id}:`)) : device.channels;
  const online = parts.filter((p) => p.presence === "online").length;
  return h("section", { class: "card" },
    h("header", {}, h("strong", { title: device.id }, shortKey(device.id)), badge(device.presence)),
    h("p", { class: "dim" }, [device.name, device.model, device.address].filter(Boolean).join(" · ")),
    h("p", {}, `${online} of ${parts.length} ${gateway ? "devices" : "channels"} online, ${device.presence} for ${duration((Date.now() - Date.parse(device.since)) / 1000)}`),
    device.error ? h("p", { class: "wrong" }, device.error) : null);
}

class StreamRow {
  constructor(key, body) {
    const cell = (numeric) => h("td", { class: numeric ? "number" : null });
    this.name = h("span", { class: "dim" });
    this.badge = badge("unknown");
    this.cells = { codec: cell(), size: cell(), fps: cell(true), rate: cell(true), last: cell(true), reconnects: cell(true), readers: cell(true), watch: cell(), why: cell() };
    this.cells.watch.append(h("a", { class: "button small", href: `#recordings/${key}/live`, "data-live": true, "aria-label": `Watch ${key} live` }, "Live"));
    this.key = key;
    this.hold = h("button", { type: "button", class: "small", "data-pause": true, onclick: () => this.toggle() }, "Pause");
    this.cells.watch.append(" ", this.hold);
    this.element = h("tr", { "data-stream": key },
      h("th", { scope: "row" }, h("a", { href: `#recordings/${key}`, title: key }, shortKey(key)), " ", this.name),
      h("td", {}, this.badge), ...Object.values(this.cells));
    body.append(this.element);
  }

  update(stream) {
    setText(this.name, stream.name ?? "");
    setBadge(this.badge, stream.state);
    const running = stream.state === "running";
    const texts = {
      codec: stream.codec ? stream.codec.toUpperCase().replace("H26", "H.26") : "–",
      size: stream.width ? `${stream.width}×${stream.height}` : "–",
      fps: running ? stream.fps.toFixed(1) : "–",
      rate: running ? bitrate(stream.bitrate) : "–",
      last: stream.last_frame ? age(Date.now() - Date.parse(stream.last_frame)) : "never",
      reconnects: String(stream.reconnects),
      readers: String(stream.readers),
      why: reason(stream.reason),
    };
    for (const [name, text] of Object.entries(texts)) setText(this.cells[name], text);
    this.paused = stream.pause !== null;
    setText(this.hold, this.paused ? "Resume" : "Pause");
    this.hold.title = this.paused ? `Record ${this.key} again` : `Do not record ${this.key} until it is resumed`;
  }

  async toggle() {
    this.hold.disabled = true;
    try {
      await pauseStream(this.key, !this.paused);
    } catch (error) {
      setText(this.cells.why, error.message);
    }
    this.hold.disabled = false;
  }
}

/** What happens, newest first. */
class EventsView {
  constructor(root) {
    this.stopping = new AbortController();
    this.list = h("ol", { class: "log", "aria-live": "polite" });
    this.empty = h("p", { class: "empty" }, "Nothing has happened yet.");
    root.append(h("h1", {}, "Events"), this.empty, this.list);
    const after = Math.max(0, (known.status?.last_event ?? 0) - EVENTS_BACK);
    events(after, (event) => this.add(event), this.stopping.signal);
  }

  add(event) {
    this.empty.hidden = true;
    const data = event.data && Object.keys(event.data).length > 0 ? JSON.stringify(event.data) : "";
    this.list.prepend(h("li", {},
      h("time", { datetime: event.time, title: event.time }, clock(Date.parse(event.time))),
      h("span", { class: "kind" }, event.kind), h("span", {}, event.subject), h("span", { class: "dim" }, data)));
    while (this.list.children.length > EVENTS_KEPT) this.list.lastChild.remove();
  }

  update() {}

  close() {
    this.stopping.abort();
  }
}

const VIEWS = { live: LiveView, streams: StreamsView, recordings: RecordingsView, events: EventsView };

/** Shows the view that the address names: `#recordings/nvr1/1/main`. */
function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const chosen = VIEWS[name] ? name : "live";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const argument = rest.join("/");
  if (view?.name === chosen && view.shown.choose?.(argument)) return;
  view?.shown.close();
  main.replaceChildren();
  main.className = chosen;
  view = { name: chosen, shown: new VIEWS[chosen](main, argument) };
  document.title = `${chosen === "live" ? "" : `${chosen} · `}skyvis`;
  if (known.status) view.shown.update(known);
}

function showStatus() {
  const { status, streams } = known;
  const running = streams.filter((s) => s.state === "running").length;
  const facts = [["Streams", `${running} of ${streams.length} running`, running < streams.length]];
  if (status.disk) {
    facts.push(["Footage", bytes(status.disk.footage_bytes), false]);
    const tight = status.disk.free_bytes < status.disk.total_bytes * 0.05;
    facts.push(["Free", `${bytes(status.disk.free_bytes)} of ${bytes(status.disk.total_bytes)}`, tight]);
  }
  facts.push(["Up", duration(status.uptime_seconds), false], [status.node || "skyvis", `${status.version}${status.phase === "ready" ? "" : ` ${status.phase}`}`, status.phase !== "ready"]);
  const elements = facts.map(([name, value, warns]) => h("div", { class: warns ? "warns" : null }, h("dt", {}, name), h("dd", {}, value)));
  document.getElementById("facts").replaceChildren(...elements);
}

function notice(text) {
  const element = document.getElementById("notice");
  setText(element, text);
  element.hidden = text === "";
}

async function refresh() {
  try {
    [known.status, known.devices, known.streams] = await Promise.all([json("status"), list("devices"), list("streams")]);
    notice("");
    showStatus();
    view.shown.update(known);
  } catch (error) {
    notice(error.status === 401 ? "" : error.message);
  }
}

/** Asks for the token until it is right. */
function login() {
  const dialog = document.getElementById("login");
  if (dialog.open) return;
  const field = document.getElementById("token");
  const wrong = document.getElementById("token-wrong");
  const send = async () => {
    const token = field.value.trim();
    try {
      await ask("api/v1/status", { headers: { Authorization: `Bearer ${token}` } });
    } catch {
      wrong.hidden = false;
      field.select();
      return;
    }
    setToken(token);
    location.reload();
  };
  document.getElementById("token-send").onclick = send;
  field.onkeydown = (event) => { if (event.key === "Enter") send(); };
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  field.focus();
}

addEventListener("hashchange", show);
addEventListener("skyvis-login", login);
show();
for (;;) {
  if (!document.hidden && !document.getElementById("login").open) await refresh();
  await pause(REFRESH_MS);
}
