// The table of routes in the order in which it is matched, how each fares, and which of them a URL would meet.

import { json, list, metrics } from "./api.js";
import { h, isolated, keep, named, setAttribute, setText, settle } from "./dom.js";
import { nothing } from "./empty.js";
import { feed } from "./feed.js";
import { POINTS_MAX, Plot } from "./plot.js";
import { tabs } from "./services.js";
import { count } from "./units.js";
import { t } from "./words.js";

/** Numbers have no events; they are looked at so often while the page is seen. */
const MEASURE_MS = 2_000;
const METHODS = ["GET", "POST", "PUT", "DELETE"];

export function open(root, argument, signal) {
  return new RoutesPage(root, argument, signal);
}

class RoutesPage {
  constructor(root, argument, signal) {
    Object.assign(this, { signal, routes: [], past: new Map(), met: null, loaded: false });
    this.soon = settle(100, () => this.load());
    this.empty = nothing("routes");
    this.url = h("input", { type: "text", name: "url", placeholder: "https://media.example.com/api/users", "aria-label": t("url"), spellcheck: "false", value: argument ? argument : "" });
    this.method = h("select", { "aria-label": t("method") }, METHODS.map((m) => h("option", {}, m)));
    this.answer = h("p", { class: "answer", role: "status", "data-answer": true });
    this.list = h("ol", { class: "routes-list" });
    root.append(h("div", { class: "bar" }, h("h1", { class: "unseen" }, t("tab_routes")), tabs("routes")),
      h("form", { class: "bar ask", onsubmit: (event) => { event.preventDefault(); this.ask(); } }, h("span", {}, t("which_route")), this.method, this.url, h("button", { type: "submit" }, t("ask")), this.answer),
      this.empty, this.list);
    feed.on("event", signal, ({ event, fresh }) => fresh && /^(registry|route|config)\./.test(event.kind) && this.soon());
    feed.on("away", signal, () => !feed.away && this.load());
    this.load();
    this.measure();
    const timer = setInterval(() => !document.hidden && !feed.away && this.measure(), MEASURE_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  async load() {
    try {
      this.routes = await list("routes", { signal: this.signal });
      this.loaded = true;
    } catch {
      return;
    }
    this.show();
  }

  async ask() {
    try {
      const found = await json(`routes?${new URLSearchParams({ url: this.url.value.trim(), method: this.method.value })}`, { signal: this.signal });
      const [route] = found.items;
      this.met = route?.name ?? null;
      this.answer.replaceChildren(...(route ? [t("meets"), " ", h("strong", {}, named(route.name)), " → ", named(route.to)] : [t("meets_none", { status: found.status }), " ", named(found.why)]));
    } catch (error) {
      this.met = null;
      setText(this.answer, error.message);
    }
    this.show();
    this.list.querySelector(".met")?.scrollIntoView({ block: "nearest" });
  }

  async measure() {
    const found = await metrics(this.signal).catch(() => null);
    if (!found) return;
    const at = performance.now() / 1000;
    const sums = new Map();
    const of = (route) => {
      if (!sums.has(route)) sums.set(route, { requests: 0, errors: 0, buckets: [] });
      return sums.get(route);
    };
    for (const { labels, value } of found.get("skyvis_proxy_requests_total") ?? []) {
      of(labels.route).requests += value;
      if (labels.status === "5xx") of(labels.route).errors += value;
    }
    for (const { labels, value } of found.get("skyvis_proxy_request_seconds_bucket") ?? []) of(labels.route).buckets.push([labels.le === "+Inf" ? Infinity : Number(labels.le), value]);
    for (const [route, now] of sums) {
      const past = this.past.get(route) ?? { rates: [], errors: [], slow: [] };
      if (past.now) {
        const seconds = at - past.at;
        push(past.rates, Math.max(0, now.requests - past.now.requests) / seconds);
        push(past.errors, Math.max(0, now.errors - past.now.errors) / seconds);
        push(past.slow, p99(past.now.buckets, now.buckets));
      }
      Object.assign(past, { now, at });
      this.past.set(route, past);
    }
    this.show();
  }

  show() {
    const configured = this.routes.filter((r) => r.kind !== "built_in");
    this.empty.hidden = !this.loaded || configured.length > 0;
    keep(this.list, this.routes.map((r, n) => ({ ...r, n })), (r) => `${r.n} ${r.name} ${r.scheme ?? ""}`, () => routeRow(), (e, r) => e.show(r, this.past.get(r.name), r.name === this.met));
  }
}

const push = (list, value) => { list.push(value); if (list.length > POINTS_MAX) list.shift(); };

/** The 99th part of a hundred of what was answered meanwhile, in seconds: the edge of its bucket. */
function p99(before, now) {
  const was = new Map(before);
  const grown = now.map(([edge, n]) => [edge, n - (was.get(edge) ?? 0)]);
  const all = grown.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const [edge] = grown.find(([, n]) => n >= all * 0.99);
  return edge === Infinity ? grown.at(-2)?.[0] ?? null : edge;
}

function routeRow() {
  const name = named("", { class: "name" });
  const to = named("", { class: "to" });
  const match = h("code", {});
  const live = h("span", { class: "badge" });
  const how = h("span", { class: "dim" });
  const out = h("ul", { class: "out" });
  const plots = { rate: new Plot("rate", t("rate")), errors: new Plot("errors", t("errors")), slow: new Plot("slow", "p99") };
  const texts = Object.fromEntries(Object.keys(plots).map((key) => [key, h("span", {})]));
  const element = h("li", { class: "card route" },
    h("div", { class: "head" }, name, match, h("span", { "aria-hidden": "true" }, "→"), to, live, how),
    h("div", { class: "plots" }, Object.entries(plots).map(([key, plot]) => h("div", {}, plot.element, texts[key]))), out);
  element.show = (route, past, met) => {
    setAttribute(element, "data-route", route.name.slice(0, 200));
    element.classList.toggle("met", met);
    setText(name, route.name.slice(0, 200));
    setText(match, `${[route.methods.join(","), route.scheme].filter(Boolean).join(" ")} ${route.host.join(",") || "*"}${route.path_prefix}${route.path_suffix.length > 0 ? `…{${route.path_suffix.join(",")}}` : ""}`.trim().slice(0, 300));
    setText(to, `${t(`kind_of_${route.kind}`)} ${route.to}`.slice(0, 300));
    live.hidden = route.live === null;
    setText(live, t("live_of", { live: route.live ?? 0, all: route.instances ?? 0 }));
    live.className = `badge ${route.live === 0 ? "critical" : route.live < route.instances ? "warning" : "passing"}`;
    setText(how, [route.balance, route.rewrite, route.tags.join(" "), ...route.split.map((s) => `${s.when} → ${s.to}`)].filter(Boolean).join(" · ").slice(0, 300));
    keep(out, route.out, (o) => `${o.instance} ${o.address}`, () => h("li", {}), (e, o) => setText(e, `${o.instance} ${o.address}: ${isolated(o.reason)}${o.seconds === null ? "" : ` (${o.seconds} ${t("unit_s")})`}`.slice(0, 400)));
    const last = (list) => list?.at(-1) ?? null;
    const say = {
      rate: `${(last(past?.rates) ?? 0).toFixed(1)} ${t("per_second")}`,
      errors: `${(last(past?.errors) ?? 0).toFixed(1)} ${t("errors_per_second")} · ${t("of_n", { n: count(route.errors), all: count(route.requests) })}`,
      slow: last(past?.slow) === null ? "p99 –" : `p99 ≤ ${(last(past.slow) * 1000).toFixed(last(past.slow) < 0.01 ? 1 : 0)} ms`,
    };
    for (const [key, list] of [["rate", past?.rates], ["errors", past?.errors], ["slow", past?.slow]]) {
      plots[key].draw(list ?? [], say[key]);
      setText(texts[key], say[key]);
    }
  };
  return element;
}
