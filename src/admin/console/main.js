// The console's frame: which page is shown, who is at it, and what is wrong with the daemon.

import { button, h, setAttribute, setText } from "./dom.js";
import { feed } from "./feed.js";
import { login } from "./login.js";
import { session } from "./session.js";
import { LANGUAGES, language, setLanguage, t } from "./words.js";
import { THEMES, setTheme, theme } from "./theme.js";

/** By the first part of the address: `#/cameras/nvr1`. What is not looked at is not fetched. */
const PAGES = {
  live: { module: () => import("./live.js"), in: "live" },
  timeline: { module: () => import("./timeline.js"), in: "timeline" },
  cameras: { module: () => import("./cameras.js"), in: "cameras" },
  services: { module: () => import("./services.js"), in: "services" },
  routes: { module: () => import("./routes.js"), in: "services" },
  system: { module: () => import("./system.js"), in: "system" },
};
const NAVIGATION = ["live", "timeline", "cameras", "services", "system"];

const main = document.getElementById("main");
const banners = document.getElementById("banners");
const build = document.querySelector("meta[name=build]").content;
let shown = null;

function frame() {
  document.documentElement.lang = LANGUAGES[language];
  const links = NAVIGATION.map((name) => h("a", { href: `#/${name}`, "data-page": name }, t(`page_${name}`)));
  const choose = (label, options, chosen, onchange) => h("select", { "aria-label": label, title: label, onchange: (e) => onchange(e.target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  const leave = button(t("sign_out"), { class: "quiet", "data-sign-out": true, hidden: !session.needsToken }, () => session.end());
  document.getElementById("top").replaceChildren(
    h("div", { class: "brand" }, h("a", { href: "#/live", title: t("home") }, h("span", { class: "dot", "aria-hidden": "true" }), "skyvis"), h("bdi", { class: "node", id: "node" })),
    h("nav", { "aria-label": t("pages") }, links),
    h("div", { class: "tools" },
      h("span", { class: "role", hidden: session.role !== "viewer", title: t("role_viewer_why") }, t("role_viewer")),
      choose(t("language"), [["en", "English"], ["zh", "简体中文"]], language, setLanguage),
      choose(t("theme"), THEMES.map((name) => [name, t(`theme_${name}`)]), theme(), setTheme),
      leave));
  setText(document.getElementById("skip"), t("skip"));
  document.getElementById("skip").onclick = (event) => { event.preventDefault(); main.focus(); };
}

/** The page that the address names, and the rest of the address. */
function address() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return PAGES[name] ? [name, rest.map(decodeURIComponent).join("/")] : ["live", ""];
}

async function show() {
  const [name, argument] = address();
  for (const link of document.querySelectorAll("nav a")) setAttribute(link, "aria-current", link.dataset.page === PAGES[name].in ? "page" : null);
  document.title = `${t(`page_${PAGES[name].in}`)} · skyvis`;
  if (shown?.name === name && shown.page?.go?.(argument)) return;
  shown?.leaving.abort();
  const leaving = new AbortController();
  const mine = { name, leaving, page: null };
  shown = mine;
  const module = await PAGES[name].module();
  if (shown !== mine) return;
  main.replaceChildren();
  main.className = name;
  mine.page = module.open(main, argument, leaving.signal) ?? {};
}

/** What everybody has to know, whatever page is open. */
function showBanners() {
  const { status, away } = feed;
  const notes = [];
  if (away) notes.push(["bad", t("away")]);
  if (status && status.phase !== "ready") notes.push(["warn", t(`phase_${status.phase}`)]);
  if (status && status.console !== build) notes.push(["warn", t("page_old"), button(t("reload"), { "data-reload": true }, () => location.reload())]);
  if (status && status.disk.state !== "ok") notes.push(["bad", `${t("disk_bad")} ${status.disk.advice ?? status.disk.state}`]);
  if (status?.route_table_error) notes.push(["warn", `${t("table_bad")} ${status.route_table_error}`]);
  banners.replaceChildren(...notes.map(([kind, text, more]) => h("div", { class: `banner ${kind}`, role: kind === "bad" ? "alert" : "status" }, h("span", {}, text), more)));
  setText(document.getElementById("node"), status?.node ?? "");
}

async function start() {
  try {
    await session.look();
  } catch (error) {
    main.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
    return;
  }
  if (session.role === null) await login(t("token_needed"));
  frame();
  let bannersNow = "";
  feed.on("change away", undefined, () => {
    const { status, away } = feed;
    const now = JSON.stringify([away, status?.phase, status?.console, status?.disk.state, status?.route_table_error, status?.node]);
    if (now !== bannersNow) { bannersNow = now; showBanners(); }
  });
  addEventListener("hashchange", show);
  // A session that ended elsewhere: the token is asked for, and all goes on where it was.
  addEventListener("skyvis-login", async () => { await login(t("token_again")); location.reload(); }, { once: true });
  const following = feed.run(new AbortController().signal);
  await show();
  performance.mark("interactive");
  await following;
}

document.documentElement.lang = LANGUAGES[language];
start();
