// What is to be seen at a moment, beside the pointer: a picture where the daemon can make one, and the time.

import { h, setText } from "./dom.js";
import { iso, moment } from "./units.js";

/** A pointer that rests for so long is looking for something. */
const REST_MS = 160;
const WIDTH_PX = 200;
/** The daemon answers so where it has no ffmpeg to make pictures with. */
const NO_PICTURES = 501;

export class Thumb {
  constructor(signal) {
    Object.assign(this, { signal, pictures: true, busy: false, next: null });
    this.image = h("img", { alt: "", hidden: true });
    this.time = h("strong");
    this.text = h("span");
    this.element = h("div", { class: "thumb", "aria-hidden": "true", hidden: true }, this.image, this.time, this.text);
    document.body.append(this.element);
    signal.addEventListener("abort", () => this.element.remove());
  }

  /** `{ key, time, x, top, there, text }` */
  show(what) {
    setText(this.time, moment(what.time));
    setText(this.text, what.text);
    this.element.hidden = false;
    const half = WIDTH_PX / 2 + 8;
    this.element.style.left = `${Math.min(Math.max(what.x, half), innerWidth - half)}px`;
    this.element.style.bottom = `${innerHeight - what.top + 8}px`;
    if (!what.there) this.image.hidden = true;
    this.next = what.there && this.pictures ? what : null;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fetch(), REST_MS);
  }

  hide() {
    this.element.hidden = true;
    this.image.hidden = true;
    this.next = null;
  }

  /** One picture at a time: the newest that was asked for. */
  async fetch() {
    if (this.busy || !this.next) return;
    const { key, time } = this.next;
    this.next = null;
    this.busy = true;
    try {
      const response = await fetch(`media/${key}/snapshot.jpg?${new URLSearchParams({ at: iso(time), width: WIDTH_PX })}`, { signal: this.signal });
      if (response.status === NO_PICTURES) this.pictures = false;
      if (response.ok) {
        const before = this.image.src;
        this.image.src = URL.createObjectURL(await response.blob());
        if (before) URL.revokeObjectURL(before);
        this.image.hidden = this.element.hidden;
      }
    } catch {
      // The next one may come.
    }
    this.busy = false;
    if (this.next) this.fetch();
  }
}
