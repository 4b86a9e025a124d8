// A small plot of the last minutes of a number.

import { drawn } from "./dom.js";

const [WIDTH, HEIGHT] = [120, 28];
export const POINTS_MAX = 60;

/** `values`: the newest last, null where nothing is known. */
export class Plot {
  constructor(kind, label) {
    this.line = drawn("polyline", { class: "line", fill: "none" });
    this.area = drawn("polygon", { class: "area" });
    this.element = drawn("svg", { class: `plot ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    this.element.append(this.area, this.line);
  }

  draw(values, label) {
    const most = Math.max(...values.filter((v) => v !== null), 0) || 1;
    const x = (n) => WIDTH - (values.length - 1 - n) * (WIDTH / (POINTS_MAX - 1));
    const points = values.flatMap((v, n) => (v === null ? [] : [`${x(n).toFixed(1)},${(HEIGHT - 2 - (v / most) * (HEIGHT - 4)).toFixed(1)}`]));
    this.line.setAttribute("points", points.join(" "));
    this.area.setAttribute("points", points.length > 1 ? `${points[0].split(",")[0]},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}` : "");
    this.element.setAttribute("aria-label", label);
  }
}
