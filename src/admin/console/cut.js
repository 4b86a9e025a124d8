// A marked span: as a file, with its progress, or as a link for somebody else.

import { ask, mp4Url, send } from "./api.js";
import { button, copy, h, setText } from "./dom.js";
import { session } from "./session.js";
import { bytes, duration, iso, local } from "./units.js";
import { t } from "./words.js";

/** A longer file is left to the browser, which writes it as it comes and shows how far it is. */
const HELD_BYTES_MAX = 1 << 30;
const EXPIRIES = ["1h", "24h", "7d", "30d"];

export class Cut {
  /** `look()` gives `{ key, track }` of what is marked; `onChange(mark)` is told of every change, null where there is none. */
  constructor(look, onChange) {
    Object.assign(this, { look, onChange, mark: null });
    const field = (label) => h("input", { type: "datetime-local", step: 1, "aria-label": label, onchange: () => this.typed() });
    [this.from, this.to] = [field(t("mark_from")), field(t("mark_to"))];
    this.info = h("span", { class: "dim" });
    this.download = button(t("download"), { "data-download": true }, () => this.save());
    this.share = button(t("make_link"), { "data-link": true, hidden: !session.operates }, () => this.link());
    this.clear = button(t("unmark"), { class: "quiet" }, () => this.set(null));
    this.progress = h("progress", { max: 1, hidden: true, "aria-label": t("download") });
    this.said = h("span", { role: "status", "data-said": true });
    this.element = h("section", { class: "cut", "aria-label": t("marked") },
      h("span", { class: "dim" }, t("marked")), this.from, h("span", { "aria-hidden": "true" }, "–"), this.to, this.info, this.download, this.share, this.clear, this.progress, this.said);
    this.show();
  }

  /** Marks the begin or the end; the other end follows where it would lie on the wrong side. */
  markEnd(which, time) {
    const other = this.mark ?? { from: time, to: time };
    const mark = { ...other, [which]: time };
    if (mark.from > mark.to) [mark.from, mark.to] = [time, time];
    this.set(mark);
  }

  set(mark) {
    this.mark = mark;
    this.show();
    this.onChange(mark);
  }

  typed() {
    const [from, to] = [Date.parse(this.from.value), Date.parse(this.to.value)];
    if (from && to) this.set({ from, to });
  }

  get sound() {
    return this.mark !== null && this.mark.to > this.mark.from && this.look().key !== null;
  }

  show() {
    const { mark } = this;
    const text = (ms) => (mark ? local(ms) : "");
    if (document.activeElement !== this.from) this.from.value = text(mark?.from);
    if (document.activeElement !== this.to) this.to.value = text(mark?.to);
    const { track } = this.look();
    const about = mark && track ? ` · ${bytes(track.bytesOf(mark.from, mark.to))}` : "";
    setText(this.info, this.sound ? `${duration((mark.to - mark.from) / 1000)}${about}` : t("mark_how"));
    for (const b of [this.download, this.share]) b.disabled = !this.sound || this.busy;
    this.clear.hidden = mark === null;
  }

  async save() {
    const { key } = this.look();
    const url = mp4Url(key, this.mark.from, this.mark.to);
    const name = `${key.replaceAll("/", "-").replaceAll(":", "-")}_${iso(this.mark.from).replace(/[-:]|\.\d+/g, "")}.mp4`;
    const cancel = new AbortController();
    this.busy = true;
    this.show();
    this.progress.hidden = false;
    const stop = button(t("cancel"), {}, () => cancel.abort());
    this.said.replaceChildren(t("preparing"), " ", stop);
    try {
      const response = await ask(url, { signal: cancel.signal });
      const all = Number(response.headers.get("Content-Length"));
      if (all > HELD_BYTES_MAX) {
        cancel.abort();
        give(url, name);
        this.said.replaceChildren(t("browser_saves"));
      } else {
        const pieces = [];
        let have = 0;
        for (const reader = response.body.getReader(); ;) {
          const { value, done } = await reader.read();
          if (done) break;
          pieces.push(value);
          have += value.length;
          this.progress.value = all ? have / all : 0;
          setText(this.said.firstChild, t("so_far", { have: bytes(have), all: bytes(all) }));
        }
        const url2 = URL.createObjectURL(new Blob(pieces, { type: "video/mp4" }));
        give(url2, name);
        setTimeout(() => URL.revokeObjectURL(url2), 60_000);
        this.said.replaceChildren(t("saved", { name }));
      }
    } catch (error) {
      this.said.replaceChildren(error.name === "AbortError" ? t("cancelled") : error.message);
    }
    this.progress.hidden = true;
    this.busy = false;
    this.show();
  }

  link() {
    const { key } = this.look();
    openLink({ stream: key, from: iso(this.mark.from), to: iso(this.mark.to) });
  }
}

function give(url, name) {
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Asks how a link is to be kept, makes it and copies it. */
export function openLink(what) {
  const password = h("input", { type: "text", name: "password", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const expires = h("select", { name: "expires" }, EXPIRIES.map((e) => h("option", { value: e, selected: e === "24h" }, t(`expiry_${e}`))));
  const said = h("p", { role: "status" });
  const made = h("input", { type: "text", readonly: true, "data-made": true, "aria-label": t("link"), hidden: true });
  const again = button(t("copy"), { hidden: true }, async () => setText(said, (await copy(made.value)) ? t("copied") : t("copy_by_hand")));
  const make = h("button", { type: "submit", class: "main" }, t("make_link"));
  const shut = button(t("close"), {}, () => dialog.close());
  const dialog = h("dialog", { class: "link", "aria-labelledby": "link-title", onclose: () => dialog.remove() },
    h("form", { method: "dialog", onsubmit: async (event) => {
      event.preventDefault();
      make.disabled = true;
      try {
        const play = await send("POST", "plays", { ...what, ...(password.value ? { password: password.value } : {}), expires_in: expires.value });
        made.value = play.page_url;
        for (const element of [made, again]) element.hidden = false;
        make.hidden = true;
        const done = await copy(made.value);
        setText(said, done ? t("link_copied") : t("copy_by_hand"));
        made.select();
      } catch (error) {
        setText(said, error.message);
        make.disabled = false;
      }
    } },
    h("h2", { id: "link-title" }, t("make_link")), h("p", { class: "dim" }, t("link_what")),
    h("label", {}, t("password"), h("span", { class: "with" }, password, button(t("invent"), {}, () => { password.value = invent(); }))),
    h("label", {}, t("expires"), expires),
    h("div", { class: "with" }, made, again), said, h("div", { class: "bar end" }, shut, make)));
  document.body.append(dialog);
  dialog.showModal();
}

/** A password that can be told on the phone: no letters that look alike. */
function invent() {
  const letters = "abcdefghjkmnpqrstuvwxyz23456789";
  const dice = crypto.getRandomValues(new Uint32Array(12));
  return [...dice].map((n, i) => letters[n % letters.length] + (i % 4 === 3 && i < 11 ? "-" : "")).join("");
}
