// Asking the daemon: errors as sentences, lists page by page. The session is a cookie that no script sees.

import { t } from "./words.js";

/** A request that was not answered as hoped; `message` is a sentence for people. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** `fetch`; a failed answer becomes an [`ApiError`]. */
export async function ask(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, t("no_answer"));
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => null);
  if (response.status === 401 && problem?.type?.endsWith("unauthorized")) dispatchEvent(new CustomEvent("skyvis-login"));
  throw new ApiError(response.status, problem?.detail ?? t("answered", { status: response.status }));
}

export const json = async (path, options) => (await ask(`api/v1/${path}`, options)).json();

/** Sends a value as JSON. */
export const send = (method, path, value) =>
  json(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

export const post = (path) => json(path, { method: "POST" });

/** All items of a list, page by page. */
export async function list(path, { query = {}, array = "items", signal } = {}) {
  const items = [];
  let cursor = null;
  do {
    const asked = new URLSearchParams({ limit: 10000, ...query });
    if (cursor !== null) asked.set("cursor", cursor);
    const page = await json(`${path}?${asked}`, { signal });
    items.push(...page[array]);
    cursor = page.next ?? null;
  } while (cursor !== null);
  return items;
}

const between = (stream, from, to) => ({ stream, from: new Date(from).toISOString(), ...(to === null ? {} : { to: new Date(to).toISOString() }) });

/** The spans of a stream that overlap an interval, in order; `limit` spans at most where given. */
export async function recordings(stream, from, to, { limit = null, signal } = {}) {
  const query = between(stream, from, to);
  const spans = limit === null
    ? await list("recordings", { query, array: "spans", signal })
    : (await json(`recordings?${new URLSearchParams({ ...query, limit })}`, { signal })).spans;
  return spans.map((s) => ({ start: Date.parse(s.start), end: Date.parse(s.end), bytes: s.bytes }));
}

/** The gaps of a stream that overlap an interval, in order; of one that lasts, `end` is null. */
export async function gaps(stream, from, to, { signal } = {}) {
  const found = await list("gaps", { query: between(stream, from, to), array: "gaps", signal });
  return found.map((g) => ({ start: Date.parse(g.start), end: g.end === null ? null : Date.parse(g.end), cause: g.cause }));
}

/** How much of what was wanted is there, from 0 to 1; null where nothing was wanted. */
export async function coverage(stream, from, to, { signal } = {}) {
  const found = await json(`gaps?${new URLSearchParams({ ...between(stream, from, to), limit: 1 })}`, { signal });
  return found.wanted_seconds > 0 ? found.coverage : null;
}

/** One file of an interval. */
export const mp4Url = (stream, from, to) => `media/${stream}/vod.mp4?${new URLSearchParams({ from: new Date(from).toISOString(), to: new Date(to).toISOString() })}`;

/** Where a metric stands: `{ labels, value }` by the metric's name, of Prometheus' text. */
export async function metrics(signal) {
  const text = await (await ask("metrics", { signal })).text();
  const found = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const space = line.lastIndexOf(" ");
    const brace = line.indexOf("{");
    const name = line.slice(0, brace < 0 ? space : brace);
    const labels = {};
    if (brace >= 0) for (const [, key, value] of line.slice(brace, space).matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value: Number(line.slice(space + 1)) });
  }
  return found;
}
