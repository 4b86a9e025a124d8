// How values read: sizes, rates, times. Times are those of this browser, with UTC on hover.

import { h, setAttribute, setText } from "./dom.js";
import { language, t } from "./words.js";

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
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
  const parts = [[86400, t("unit_d")], [3600, t("unit_h")], [60, t("unit_min")], [1, t("unit_s")]];
  const out = [];
  for (const [size, unit] of parts) {
    const n = Math.floor(seconds / size);
    seconds -= n * size;
    if (n > 0) out.push(`${n} ${unit}`);
    else if (out.length > 0) break;
    if (out.length === 2) break;
  }
  return out.join(" ") || `0 ${t("unit_s")}`;
}

/** How old, to a tenth of a second while that matters. */
export function age(ms) {
  const seconds = Math.max(0, ms) / 1000;
  return seconds < 10 ? `${seconds.toFixed(1)} ${t("unit_s")}` : duration(seconds);
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

/** Milliseconds of the first moment of a day, here; `by` days further on. Days of 23 and 25 hours are what they are. */
export function dayStart(ms, by = 0) {
  const d = new Date(ms);
  return new Date(d.getFullYear(), d.getMonth(), d.getDate() + by).getTime();
}

/** The first moment of a month, `by` months further on. */
export function monthStart(ms, by = 0) {
  const d = new Date(ms);
  return new Date(d.getFullYear(), d.getMonth() + by, 1).getTime();
}

/** RFC 3339 in UTC, as the API takes it. */
export const iso = (ms) => new Date(ms).toISOString();

/** As a field of date and time holds it, seconds and all. */
export const local = (ms) => `${day(ms)}T${clock(ms)}`;

/** With the day where that is not today. */
export const moment = (ms) => (day(ms) === day(Date.now()) ? clock(ms) : `${day(ms)} ${clock(ms)}`);

export const monthName = (ms) => new Intl.DateTimeFormat(language, { month: "long", year: "numeric" }).format(ms);

/** A time for people, that says UTC on hover. */
export function timeOf(ms) {
  const element = h("time");
  setTime(element, ms);
  return element;
}

export function setTime(element, ms) {
  setText(element, ms === null ? "–" : moment(ms));
  setAttribute(element, "datetime", ms === null ? null : iso(ms));
  setAttribute(element, "title", ms === null ? null : `${iso(ms).replace("T", " ").replace("Z", "")} UTC`);
}

export const percent = (part) => `${(Math.floor(part * 1000) / 10).toFixed(1)} %`;

export const count = (n) => new Intl.NumberFormat(language).format(n);

/** A key as far as a person tells it from others: of the long name of a device behind a gateway, its end. */
export const shortKey = (key) => key.replace(/:[^/]{8,}(?=[^/]{4}(\/|$))/, ":…");

/** `nvr1/3` of `nvr1/3/main`. */
export const channelOf = (key) => key.slice(0, key.lastIndexOf("/"));

/** By device, then by the channel's number. */
export function byChannel(a, b) {
  const [deviceA, channelA] = a.split("/");
  const [deviceB, channelB] = b.split("/");
  return deviceA < deviceB ? -1 : deviceA > deviceB ? 1 : Number(channelA) - Number(channelB);
}
