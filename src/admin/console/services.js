// Services and who serves them: how each instance is, why one is out, its share.

import { json, list } from "./api.js";
import { badge, setBadge } from "./badge.js";
import { h, isolated, keep, named, setAttribute, setText, settle } from "./dom.js";
import { nothing } from "./empty.js";
import { feed } from "./feed.js";
import { count, duration } from "./units.js";
import { Windowed, filterField, fits } from "./windowed.js";
import { t } from "./words.js";

/** Services that one burst of events names and that are asked for one by one. */
const ONE_BY_ONE = 20;
const HEALTHS = ["passing", "warning", "critical", "maintenance"];
const INSTANCES_SHOWN_MAX = 500;

export function open(root, argument, signal) {
  return new ServicesPage(root, argument, signal);
}

/** What stands above both of services and routes. */
export function tabs(chosen) {
  return h("nav", { class: "group tabs", "aria-label": t("page_services") }, ["services", "routes"].map((name) =>
    h("a", { class: "button", href: `#/${name}`, "aria-current": name === chosen ? "page" : null }, t(`tab_${name}`))));
}

class ServicesPage {
  constructor(root, argument, signal) {
    Object.assign(this, { signal, services: new Map(), filter: "", dirty: new Set(), loaded: false });
    this.catchUp = settle(60, () => this.refresh());
    this.empty = nothing("services");
    this.field = filterField(t("filter"), (text) => { this.filter = text; this.show(); });
    this.sum = h("span", { class: "sum", role: "status" });
    this.window = new Windowed({ label: t("tab_services"), signal, keyOf: (s) => s.name, make: () => serviceRow(), update: (e, s) => e.show(s, s.name === this.chosen) });
    this.detail = h("section", { class: "detail-side", "aria-label": t("instances"), hidden: true });
    root.append(h("div", { class: "bar" }, h("h1", { class: "unseen" }, t("tab_services")), tabs("services"), this.field, this.sum), this.empty,
      h("div", { class: "two" }, this.window.element, this.detail));
    feed.on("event", signal, ({ event, fresh }) => fresh && this.happened(event));
    feed.on("away", signal, () => !feed.away && this.load());
    this.go(argument);
    this.load();
  }

  go(argument) {
    this.chosen = argument || null;
    this.instances = null;
    this.show();
    this.loadChosen();
    return true;
  }

  async load() {
    try {
      const services = await list("services", { signal: this.signal });
      this.services = new Map(services.map((s) => [s.name, s]));
      this.loaded = true;
      this.show();
    } catch (error) {
      if (!this.signal.aborted) setText(this.sum, error.message);
    }
  }

  happened({ kind, subject }) {
    if (!kind.startsWith("registry.")) return;
    // `registry.skipped` says that there were too many to tell.
    this.dirty.add(kind === "registry.skipped" ? "" : subject.split("/")[0]);
    this.catchUp();
  }

  async refresh() {
    const names = [...this.dirty];
    this.dirty.clear();
    if (names.includes("") || names.length > ONE_BY_ONE) return this.load();
    await Promise.all(names.map(async (name) => {
      try {
        const one = await json(`services/${encodeURIComponent(name)}`, { signal: this.signal });
        this.services.set(name, summary(one));
        if (name === this.chosen) { this.instances = one.instances; }
      } catch (error) {
        if (error.status === 404) {
          this.services.delete(name);
          if (name === this.chosen) this.instances = [];
        }
      }
    }));
    this.show();
  }

  async loadChosen() {
    if (!this.chosen) return;
    const name = this.chosen;
    const one = await json(`services/${encodeURIComponent(name)}`, { signal: this.signal }).catch(() => ({ instances: [] }));
    if (name !== this.chosen) return;
    this.instances = one.instances;
    this.show();
  }

  show() {
    const all = [...this.services.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const seen = all.filter((s) => fits(this.filter, s.name, s.tags.join(" ")));
    this.window.set(seen);
    this.empty.hidden = !this.loaded || all.length > 0;
    if (this.loaded) setText(this.sum, t("services_sum", { n: count(all.length), instances: count(all.reduce((sum, s) => sum + s.instances, 0)), live: count(all.reduce((sum, s) => sum + s.live, 0)) }));
    this.detail.hidden = !this.chosen;
    if (this.chosen) this.showInstances();
  }

  showInstances() {
    if (this.head?.name !== this.chosen) {
      this.table = h("div", { class: "instances" });
      this.head = { name: this.chosen };
      this.detail.replaceChildren(h("div", { class: "bar" }, h("h2", {}, named(this.chosen)), h("a", { class: "button small end", href: "#/services" }, t("close"))), this.table);
    }
    const instances = this.instances ?? [];
    keep(this.table, instances.slice(0, INSTANCES_SHOWN_MAX), (i) => i.id, () => instanceCard(), (e, i) => e.show(i));
    if (this.instances !== null && instances.length === 0) this.table.replaceChildren(h("p", { class: "dim" }, t("no_instances")));
    if (instances.length > INSTANCES_SHOWN_MAX) this.table.append(h("p", { class: "dim", "data-key": "more" }, t("and_more", { n: instances.length - INSTANCES_SHOWN_MAX })));
  }
}

/** As a line of the list says it, of all that there is of a service. */
function summary(one) {
  const health = Object.fromEntries(HEALTHS.map((h) => [h, one.instances.filter((i) => i.health === h).length]));
  return { name: one.name, live: one.live, instances: one.instances.length, health, tags: [...new Set(one.instances.flatMap((i) => i.tags))] };
}

function serviceRow() {
  const name = named("", { class: "name" });
  const live = h("span", {});
  const marks = Object.fromEntries(HEALTHS.map((health) => [health, h("span", { class: `badge ${health}` })]));
  const tags = h("span", { class: "dim tags" });
  const link = h("a", { class: "service-row" }, name, live, h("span", { class: "marks" }, Object.values(marks)), tags);
  const element = h("div", {}, link);
  element.show = (service, chosen) => {
    setAttribute(element, "data-service", service.name.slice(0, 200));
    setText(name, service.name.slice(0, 200));
    setAttribute(link, "href", `#/services/${encodeURIComponent(service.name)}`);
    setAttribute(link, "aria-current", chosen ? "true" : null);
    setText(live, t("live_of", { live: service.live, all: service.instances }));
    live.classList.toggle("wrong", service.live === 0);
    for (const [health, mark] of Object.entries(marks)) {
      const n = service.health[health] ?? 0;
      mark.hidden = n === 0;
      setText(mark, `${n} ${t(`state_${health}`)}`);
    }
    setText(tags, service.tags.map(isolated).join(" ").slice(0, 200));
  };
  return element;
}

function instanceCard() {
  const name = named("", { class: "name" });
  const mark = badge("passing");
  const since = h("span", { class: "dim" });
  const facts = h("p", { class: "dim" });
  const why = h("p", { class: "why" });
  const look = h("pre", { class: "look", tabindex: "0", "aria-label": t("last_look") });
  const element = h("article", { class: "card" }, h("header", {}, name, mark, since), facts, why, look);
  element.show = (instance) => {
    setAttribute(element, "data-instance", instance.id.slice(0, 200));
    setText(name, instance.id.slice(0, 200));
    setBadge(mark, instance.health);
    setText(since, t("since", { age: duration((feed.now() - Date.parse(instance.since)) / 1000) }));
    const check = instance.check ? t("checked_every", { interval: instance.check.interval }) : instance.ttl ? t("renews_within", { ttl: instance.ttl }) : t("unchecked");
    const tags = instance.tags.length > 0 ? ` · ${instance.tags.map(isolated).join(" ")}` : "";
    setText(facts, `${instance.address}:${instance.port} · ${t("weight", { n: instance.weight })} · ${check} · ${t(`source_${instance.source}`)}${tags}`.slice(0, 400));
    setText(why, instance.live ? "" : t("out_because", { why: instance.reason ? isolated(instance.reason) : (instance.weight === 0 ? t("weight_zero") : t(`state_${instance.health}`)) }).slice(0, 400));
    const last = instance.check?.last;
    setText(look, last ? `${last.output} (${last.in_a_row}×)`.slice(0, 2_000) : "");
    look.hidden = !last;
  };
  return element;
}
