// How far behind the newest picture it is shown: a little at first, further after each time that nothing was left to show,
// and slowly nearer again while all is well. Knows no clock and no video, both are told to it.

/** So much at first, and never less. */
export const LAG_S = 0.15;
export const LAG_MAX_S = 1.5;
/** So much further after each time. */
const FURTHER_S = 0.05;
/** So much nearer in one step. */
const NEARER_S = 0.01;
/** Between two steps, and longer each time that it was too near: where pictures always come so unevenly it is not learnt
    anew every minute. */
const CALM_MS = 10_000;
const CALM_MAX_MS = 600_000;

export class Lag {
  constructor(now) {
    Object.assign(this, { seconds: LAG_S, calm: CALM_MS, since: now });
  }

  /** Nothing was left to show. */
  stalled(now) {
    this.seconds = Math.min(this.seconds + FURTHER_S, LAG_MAX_S);
    this.calm = Math.min(this.calm * 2, CALM_MAX_MS);
    this.since = now;
  }

  /** What it is now. */
  at(now) {
    if (this.seconds > LAG_S && now - this.since >= this.calm) {
      this.seconds = Math.max(LAG_S, this.seconds - NEARER_S);
      this.since = now;
      // Near again, all is as at the begin.
      if (this.seconds === LAG_S) this.calm = CALM_MS;
    }
    return this.seconds;
  }
}
