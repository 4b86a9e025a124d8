// The ticks of a time scale, on the calendar of this browser.

import { clock, day, dayStart } from "./units.js";

const S = 1_000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;
const STEPS = [S / 10, S / 2, S, 2 * S, 5 * S, 10 * S, 30 * S, MIN, 2 * MIN, 5 * MIN, 10 * MIN, 30 * MIN, H, 2 * H, 3 * H, 6 * H, 12 * H, D, 2 * D, 7 * D];
const LABEL_PX = 76;

/** `{ time, text, strong }` of each tick between two times that are so many pixels apart. */
export function ticks(from, to, width) {
  const step = STEPS.find((s) => ((to - from) / s) * LABEL_PX <= width) ?? STEPS.at(-1);
  const found = [];
  if (step >= D) {
    for (let time = dayStart(from); time <= to; time = dayStart(time, step / D)) {
      if (time >= from) found.push({ time, text: day(time).slice(5), strong: true });
    }
    return found;
  }
  // Counted from midnight, so that ticks stand on full hours of zones that are half an hour off.
  for (let midnight = dayStart(from); midnight <= to; midnight = dayStart(midnight, 1)) {
    const first = midnight + Math.max(0, Math.ceil((from - midnight) / step)) * step;
    for (let time = first; time <= Math.min(to, dayStart(midnight, 1) - 1); time += step) {
      const strong = time === midnight;
      found.push({ time, strong, text: strong ? day(time).slice(5) : label(time, step) });
    }
  }
  return found;
}

const label = (time, step) => (step < S ? `${clock(time)}.${Math.floor((time % S) / 100)}` : step < MIN ? clock(time) : clock(time).slice(0, 5));
