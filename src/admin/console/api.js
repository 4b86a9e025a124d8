// Asking the daemon: token, errors as sentences, lists, the event stream.

const TOKEN = "skyvis-token";

/** A request that was not answered as hoped; `message` is a sentence for people. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const setToken = (token) => sessionStorage.setItem(TOKEN, token);

/** `fetch` with the token, if there is one; a failed answer becomes an [`ApiError`]. */
export async function ask(url, options = {}) {
  const headers = new Headers(options.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token && !headers.has("Authorization")) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "skyvis does not answer. Is it running?");
  }
  if (response.ok) return response;
  if (response.status === 401) dispatchEvent(new CustomEvent("skyvis-login"));
  const problem = await response.json().catch(() => null);
  throw new ApiError(response.status, problem?.detail ?? `skyvis answered ${response.status}.`);
}

export const json = async (path, options) => (await ask(`api/v1/${path}`, options)).json();

/** All items of a list, page by page. */
export async function list(path, options) {
  const items = [];
  let cursor = null;
  do {
    const query = cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
    const page = await json(path + query, options);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== null);
  return items;
}

/** The spans of a stream that overlap an interval, in order; `limit` spans at most where given. */
export async function recordings(stream, from, to, { limit = null, signal } = {}) {
  const spans = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ stream, from: new Date(from).toISOString() });
    if (to !== null) query.set("to", new Date(to).toISOString());
    if (limit !== null) query.set("limit", limit);
    if (cursor !== null) query.set("cursor", cursor);
    const page = await json(`recordings?${query}`, { signal });
    spans.push(...page.spans.map((s) => ({ ...s, start: Date.parse(s.start), end: Date.parse(s.end) })));
    cursor = page.next ?? null;
  } while (cursor !== null && limit === null);
  return spans;
}

/** The gaps of a stream that overlap an interval, in order; one that lasts ends now. */
export async function gaps(stream, from, to, { signal } = {}) {
  const query = new URLSearchParams({ stream, from: new Date(from).toISOString(), to: new Date(to).toISOString(), limit: 10000 });
  const page = await json(`gaps?${query}`, { signal });
  return page.gaps.map((g) => ({ ...g, start: Date.parse(g.start), lasts: g.end === null, end: g.end === null ? Math.min(Date.now(), to) : Date.parse(g.end) }));
}

/** Has a stream not recorded, or recorded again. */
export const pauseStream = (key, paused) => ask(`api/v1/streams/${key}/${paused ? "pause" : "resume"}`, { method: "POST" });

/** Calls `onEvent` with every event until `signal` fires; reconnects and resumes behind the last one seen. */
export async function events(after, onEvent, signal) {
  let last = after;
  while (!signal.aborted) {
    try {
      const response = await ask(`api/v1/events?after=${last}`, { signal });
      for await (const data of messages(response.body)) {
        const event = JSON.parse(data);
        last = event.id;
        onEvent(event);
      }
    } catch (error) {
      if (signal.aborted || error.status === 401) return;
    }
    await pause(2000, signal);
  }
}

/** The data of each server-sent event of a body. */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart());
      if (data.length > 0) yield data.join("\n");
    }
  }
}

/** Waits, or less where `signal` fires. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

/** For what the browser itself fetches and cannot be given a header: a video's address, a download. */
export function withToken(url) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? `${url}${url.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}` : url;
}
