// A short way to build elements. Whatever comes from outside goes in as text and never as markup.

/** What is longer is no name and no reason that anybody reads. */
const SHOWN_MAX = 400;

/** Builds an element: `h("a", { class: "x", href: "#", onclick: f }, "text", child)`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** `text`: what stands on it, or an icon. */
export const button = (text, attributes, onclick) => h("button", { type: "button", ...attributes, onclick }, text);

const SVG = "http://www.w3.org/2000/svg";
/** Drawn, since not every system has a letter for them. */
const ICONS = {
  full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  play: "M4 2.5l9 5.5-9 5.5z",
  pause: "M4.5 2.5v11M11.5 2.5v11",
};

/** Builds an element of a drawing. */
export function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export function icon(name) {
  const element = drawn("svg", { class: `icon ${name}`, viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" });
  element.append(drawn("path", { d: ICONS[name] }));
  return element;
}

/** Sets an element's text, touching the page only where it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** So much of a text as fits a place for names. */
export const clip = (text, most = SHOWN_MAX) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** A text of others within one of ours: whatever it does to the writing direction ends where it ends. */
export const isolated = (text) => `\u2068${text}\u2069`;

/** A name as others gave it: its writing direction stays its own. */
export const named = (text, attributes = {}) => h("bdi", attributes, clip(String(text ?? "")));

/** Puts children in the place of others only where their keys differ, so that focus and hover stay where they are. */
export function keep(parent, items, keyOf, make, update) {
  const had = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = had.get(key);
    had.delete(key);
    if (!element) {
      element = make(item);
      element.dataset.key = key;
    }
    update?.(element, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== element) parent.insertBefore(element, place);
    before = element;
  }
  for (const element of had.values()) element.remove();
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

/** Calls `work` once things have been quiet for so long, and no later than four times that. */
export function settle(ms, work) {
  let timer = null;
  let first = 0;
  return () => {
    const now = performance.now();
    if (timer === null) first = now;
    clearTimeout(timer);
    const run = () => { timer = null; work(); };
    timer = setTimeout(run, Math.max(0, Math.min(ms, first + 4 * ms - now)));
  };
}

/** Puts a text where the next paste takes it from. True where that went well. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers have no clipboard for pages that came without TLS; the old way is left.
    const field = h("textarea", { class: "unseen", "aria-hidden": "true" }, text);
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
