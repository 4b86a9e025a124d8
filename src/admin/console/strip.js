// A stream's time as a strip: footage, what is missing in the colour of its cause, now, and what is marked.

import { feed } from "./feed.js";
import { kindOf } from "./advice.js";

/** The least width of something that is there: it is seen, however short. */
const SEEN_PX = 1.5;

/** The strips' colours, as the style sheet has them. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const kinds = Object.fromEntries(["camera", "account", "disk", "host", "wanted", "unknown"].map((kind) => [kind, of(`gap-${kind}`)]));
  return { ground: of("lane"), footage: of("footage"), chosen: of("footage-chosen"), mark: of("mark"), now: of("dim"), head: of("text"), kinds };
}

/** Paints what `track` knows of the time that `view` shows: `{ from, to, time, mark, chosen, colours }`. */
export function paint(canvas, track, view) {
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (width === 0) return;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  const { colours: colour, from, to } = view;
  const x = (time) => ((time - from) / (to - from)) * width;
  pen.fillStyle = colour.ground;
  pen.fillRect(0, 0, width, height);
  const bars = (list, top, bottom, fill, endOf) => {
    for (const one of list) {
      const end = endOf(one);
      if (end <= from || one.start >= to) continue;
      const left = Math.max(-1, x(one.start));
      const right = Math.min(width + 1, x(end));
      pen.fillStyle = fill(one);
      pen.fillRect(left, top, Math.max(SEEN_PX, right - left), height - top - bottom);
    }
  };
  bars(track.spans, 3, 3, () => (view.chosen ? colour.chosen : colour.footage), (s) => s.end);
  bars(track.gaps, height / 3, height / 3, (g) => colour.kinds[kindOf(g.cause)], (g) => g.end ?? feed.now());
  if (view.mark) {
    pen.fillStyle = colour.mark;
    pen.globalAlpha = 0.28;
    pen.fillRect(x(view.mark.from), 0, x(view.mark.to) - x(view.mark.from), height);
    pen.globalAlpha = 1;
    for (const end of [view.mark.from, view.mark.to]) pen.fillRect(x(end) - 1, 0, 2, height);
  }
  const now = x(feed.now());
  pen.fillStyle = colour.now;
  if (now >= 0 && now <= width) for (let y = 0; y < height; y += 6) pen.fillRect(now, y, 1, 3);
  if (view.time !== null) {
    pen.fillStyle = colour.head;
    pen.fillRect(x(view.time) - 1, 0, 2, height);
  }
}
