// The config in force, secrets blanked, and where each value comes from.

import { json, post } from "./api.js";
import { button, h, setText } from "./dom.js";
import { feed } from "./feed.js";
import { filterField, fits } from "./windowed.js";
import { t } from "./words.js";

export function configView(signal) {
  const list = h("div", { class: "config" });
  const said = h("span", { role: "status" });
  const file = h("code", {});
  let filter = "";
  let shown = [];
  const field = filterField(t("filter"), (text) => { filter = text; draw(); });
  const changed = h("input", { type: "checkbox", onchange: () => draw() });
  const again = button(t("reload_config"), {}, async () => {
    again.disabled = true;
    try {
      const done = await post("reload");
      setText(said, done.changed.length > 0 ? done.changed.join("; ") : t("nothing_changed"));
    } catch (error) {
      setText(said, error.message);
    }
    again.disabled = false;
  });
  const draw = () => {
    const rows = shown.filter((row) => (!changed.checked || row.source) && fits(filter, row.key, row.value));
    list.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, [t("key"), t("value"), t("comes_from")].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", { class: row.source ? "set" : null }, h("th", { scope: "row" }, h("code", {}, row.key)), h("td", {}, h("bdi", {}, row.value)), h("td", { class: "dim" }, row.source || t("default")))))));
  };
  const load = async () => {
    try {
      const [config, sources] = await Promise.all([json("config", { signal }), json("config/sources", { signal })]);
      const from = new Map(sources.sources.map((s) => [s.key, s.variable ? t("from_variable", { name: s.variable }) : t("from_line", { n: s.line })]));
      setText(file, sources.file ?? "–");
      shown = [...flat(config, "")].map(([key, value]) => ({ key, value: text(value), source: sourceOf(from, key) }));
      draw();
    } catch (error) {
      if (!signal.aborted) setText(said, error.message);
    }
  };
  feed.on("event", signal, ({ event, fresh }) => fresh && event.kind.startsWith("config.") && load());
  load();
  return h("section", { "aria-label": t("tab_config") }, h("div", { class: "bar" }, file, field, h("label", { class: "check" }, changed, t("only_set")), again, said), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("tab_config") }, list));
}

/** Every value by its full name. */
function* flat(value, prefix) {
  const isTable = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
  for (const [key, inner] of Object.entries(value)) {
    const name = prefix ? `${prefix}.${key}` : key;
    if (isTable(inner)) yield* flat(inner, name);
    else if (Array.isArray(inner) && inner.some(isTable)) for (const [n, one] of inner.entries()) yield* flat(one, `${name}.${n}`);
    else yield [name, inner];
  }
}

/** A secret may be given by its file, and what is set for all recordings holds for those of a device. */
function sourceOf(from, key) {
  const [, device, last] = key.match(/^(device\.\d+)\.recording(?:\.per_channel\.\d+)?\.(\w+)$/) ?? [];
  const above = device && (from.get(`${device}.recording.${last}`) ?? from.get(`recording.${last}`));
  return from.get(key) ?? from.get(`${key}_file`) ?? above ?? "";
}

const text = (value) => (Array.isArray(value) ? value.map(String).join(", ") : value === null ? "–" : String(value)).slice(0, 400) || "–";
