// How values read, and a short way to build elements.

/** Builds an element: `h("a", { class: "x", href: "#", onclick: f }, "text", child)`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return element;
}

/** Sets an element's text, touching the page only where it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) { n /= 1024; i += 1; }
  return `${n.toFixed(n < 100 && i > 0 ? 1 : 0)} ${units[i]}`;
}

export function bitrate(bps) {
  if (!bps) return "–";
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

/** "3 d 4 h", "12 min", "8 s": the two largest parts at most. */
export function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const out = [];
  for (const [size, unit] of parts) {
    const n = Math.floor(seconds / size);
    seconds -= n * size;
    if (n > 0) out.push(`${n} ${unit}`);
    else if (out.length > 0) break;
    if (out.length === 2) break;
  }
  return out.join(" ") || "0 s";
}

/** How long ago, to a tenth of a second while that matters. */
export function age(ms) {
  if (ms < 0) ms = 0;
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s ago` : `${duration(ms / 1000)} ago`;
}

const two = (n) => String(n).padStart(2, "0");

/** `14:03:27` on this browser's clock. */
export function clock(ms) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** `2026-11-21` on this browser's calendar. */
export function day(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** Milliseconds of the first moment of a `2026-11-21`, here. */
export function dayStart(text) {
  const [y, m, d] = text.split("-").map(Number);
  return new Date(y, m - 1, d).getTime();
}

/** RFC 3339 in UTC, as the API takes it. */
export const iso = (ms) => new Date(ms).toISOString();

/** What the states mean, for the badge's tooltip. */
const STATES = {
  connecting: "A session is being set up",
  running: "Frames arrive",
  backoff: "The last attempt failed; waiting before the next",
  paused: "Asked not to run",
  offline: "The device or channel is offline",
  locked: "The account is locked or the password was refused",
  stopped: "No longer supervised",
  online: "It answers",
  flapping: "It comes and goes",
  unknown: "Not asked yet",
};

export function badge(state) {
  return h("span", { class: `badge ${state}`, title: STATES[state] ?? "" }, state);
}

export function setBadge(element, state) {
  if (element.textContent === state) return;
  element.textContent = state;
  element.className = `badge ${state}`;
  element.title = STATES[state] ?? "";
}

/** The reasons that machines give, as a person says them. */
const REASONS = {
  disk_full: "the disk is full; recording goes on once there is room",
  schedule: "outside the recording schedule",
  paused: "recording is paused",
  disabled: "recording is turned off for this device",
  disk_error: "the disk failed; recording is tried again",
  disk_inodes: "the file system has no inode left for another file",
  disk_quota: "the disk quota is used up",
  disk_read_only: "the file system of the recordings takes no writes",
  disk_gone: "the device of the recordings is gone",
  disk_denied: "skyvis may not write to the recordings directory",
  disk_hangs: "the disk does not answer; recording goes on once it does",
  descriptors: "no file descriptor is left",
  name_too_long: "the path of the recordings is too long",
  wrong_directory: "another directory stands where the recordings should be",
  file_vanished: "the file was removed while it was being written",
  not_mounted: "the disk for recordings is not mounted",
  bad_frames: "the camera sends frames that cannot be recorded",
  sync_stretched: "the disk cannot keep up; a power cut may cost more than it should",
};

/** Why something was not recorded, as a person says it. */
const CAUSES = {
  offline: "the recorder had lost the camera",
  unreachable: "the device did not answer",
  auth: "the device refused the password",
  locked: "the device had locked the account",
  stream_error: "the stream broke",
  disk_full: "the disk was full",
  disk_error: "the disk failed",
  schedule: "outside the recording schedule",
  paused: "recording was paused",
  restart: "skyvis was restarted",
  crash: "skyvis or its host had crashed",
  overload: "the disk or this host was too slow",
  clock_step: "the clock of this host was set",
  connecting: "a session was being set up",
  silence: "the camera sent no picture",
  unknown: "the cause is not known",
};

export const cause = (word) => CAUSES[word] ?? word;

export const reason = (text) => (text ? REASONS[text] ?? text : "");

/** A key as far as a person tells it from others: of the long name of a device behind a gateway, its end. */
export const shortKey = (key) => key.replace(/:[^/]{8,}(?=[^/]{4}(\/|$))/, ":…");

/** Begins with a capital and ends with a full stop. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
