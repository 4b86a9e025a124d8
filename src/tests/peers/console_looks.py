#!/usr/bin/env python3
"""Every page of the console as people with other eyes, hands, screens and languages meet it, and as an attacker would have
it: nothing serious is found by axe-core, all is reached by keyboard, nothing sticks out of a small screen, hostile names
are text, the first load is light and quick, and sixteen tiles leak nothing.

Arguments: console address, operator's token, control address of the simulated recorder, directory for screenshots. Exits
non-zero, saying what is wrong.
"""
import json
import os
import sys
import time

import requests
from console_acts import Person
from console_browser import plays

PAGES = ["live", "timeline", "cameras", "services/web-api", "routes", "system", "system/events", "system/config"]
AXE = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "npm/node_modules/axe-core/axe.min.js")
# What axe-core calls so keeps people out.
SERIOUS = ("serious", "critical")
HOSTILE = "<img src=x onerror=fooled()>\u202e\"'`{{7*7}}" + "B" * 150
FOCUSED = """
const e = document.activeElement;
if (!e || e === document.body) return null;
const style = getComputedStyle(e);
window.reached = window.reached ?? new Set();
const again = reached.has(e);
reached.add(e);
return [again, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0, e.outerHTML.slice(0, 120)];
"""
MISSED = """
const able = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')];
const seen = (e) => !e.disabled && e.checkVisibility({ visibilityProperty: true }) && e.tabIndex >= 0 && !e.closest('details:not([open]) > :not(summary)');
return able.filter((e) => seen(e) && !reached.has(e)).map((e) => e.outerHTML.slice(0, 160));
"""
HEIGHTS = {1920: 1080, 360: 780}
WORDS = {"en": "Timeline", "zh": "时间线"}
# What is looked at each time; with KEEP_SCREENSHOTS every look there is, for eyes.
LOOKS = [("en", "light", 1920), ("en", "light", 360), ("en", "dark", 1920), ("en", "dark", 360), ("zh", "light", 360), ("zh", "dark", 1920)]
# Text that would turn the direction of ours behind it.
TURNED = """
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const found = [];
while (walker.nextNode()) {
  const { data, parentElement } = walker.currentNode;
  const at = data.indexOf('\\u202e');
  const kept = at < 0 || parentElement.closest('bdi, pre') || (data.indexOf('\\u2068') >= 0 && data.indexOf('\\u2068') < at);
  if (!kept) found.push(parentElement.outerHTML.slice(0, 160));
}
return found;
"""
FIRST_BYTES_MAX = 150_000
THROTTLE = 4
TILES_SECONDS = 20


def every_look():
    return [(language, theme, width) for language in WORDS for theme in ("light", "dark") for width in HEIGHTS]


def settle(person, page):
    person.page(page)
    ready = {
        "live": ".tile", "timeline": ".row canvas", "cameras": ".stream-row", "services/web-api": "[data-instance]", "routes": ".route",
        "system": "[data-card=load]", "system/events": ".event-row", "system/config": "tr.set",
    }[page]
    person.one(ready)
    time.sleep(0.3)


def set_screen(person, width, height):
    person.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def remember(person, **values):
    for name, value in values.items():
        person.js("localStorage.setItem(`skyvis-${arguments[0]}`, arguments[1])", name, value)


def check_reading(person, page, where):
    """axe-core's findings."""
    person.js(open(AXE, encoding="utf-8").read())
    found = person.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then((r) => done(r.violations.map((v) =>
          ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 4).map((n) => n.html.slice(0, 200) + ' ' + (n.any[0]?.message ?? '')) }))));
    """)
    serious = [v for v in found if v["impact"] in SERIOUS]
    if serious:
        sys.exit(f"{page}, {where}: {json.dumps(serious, indent=1, ensure_ascii=False)}")


def check_keyboard(person, page):
    """Every control is reached by the tabulator, and where it is shows."""
    person.js("window.reached = new Set(); document.activeElement?.blur(); window.scrollTo(0, 0)")
    dull = []
    again = 0
    for _ in range(400):
        person.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9})
        person.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9})
        focused = person.js(FOCUSED)
        if focused is None:
            continue
        again = again + 1 if focused[0] else 0
        # A field of date and time has several stops of its own.
        if again > 12:
            break
        if not focused[1]:
            dull.append(focused[2])
    missed = person.js(MISSED)
    if missed or dull:
        sys.exit(f"{page}: not reached by keyboard: {missed}; not seen where it is: {dull}")


def check_room(person, page, where):
    wide = person.js("return [document.documentElement.scrollWidth, innerWidth]")
    if wide[0] > wide[1]:
        culprits = person.js("return [...document.querySelectorAll('main *, header *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map((e) => e.outerHTML.slice(0, 120))")
        sys.exit(f"{page}, {where}: {wide[0]} px wide on {wide[1]}: {culprits}")


def check_text(person, page):
    fooled = person.js("return window.fooledBy ?? document.querySelectorAll('img[src=x], main script').length")
    if fooled:
        sys.exit(f"{page}: a hostile name is no text")
    if turned := person.js(TURNED):
        sys.exit(f"{page}: a hostile name turns what stands behind it: {turned}")


def be_hostile(ask):
    meta = {"note": HOSTILE}
    for n in range(3):
        ask("PUT", f"/api/v1/services/web-api/instances/x{n}", {"address": "127.0.0.1", "port": 9, "tags": [HOSTILE[:60]], "meta": meta})
    ask("POST", "/api/v1/streams/nvr/2/sub/pause", {"reason": HOSTILE})


def check_figures(person, shots):
    driver = person.driver
    # What the first load weighs, and how long it takes on a quarter of this machine.
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
    took = []
    for _ in range(5):
        driver.get("about:blank")
        driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        driver.get(person.address)
        person.until("the mark of a page that is ready", "return performance.getEntriesByName('interactive')[0]")
        took.append(person.js("return performance.getEntriesByName('interactive')[0].startTime"))
        weight = person.js("return performance.getEntries().filter((e) => e.entryType === 'navigation' || /console/.test(e.name)).reduce((sum, e) => sum + (e.transferSize ?? 0), 0)")
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})
    if not 10_000 < weight <= FIRST_BYTES_MAX:
        sys.exit(f"the first load weighs {weight} bytes")
    print(f"interactive after {', '.join(f'{ms:.0f}' for ms in took)} ms at a quarter of the speed, first load {weight} bytes")
    # A long list holds what is seen, and no more.
    person.page("cameras")
    rows = driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        import('/console/feed.js').then(async ({ feed }) => {
          const [device] = feed.devices.values();
          const [stream] = feed.streams.values();
          const began = performance.now();
          for (let n = 0; n < 500; n += 1) {
            feed.devices.set(`d${n}`, { ...device, id: `d${n}`, channels: [device.channels[0]] });
            feed.streams.set(`d${n}/1/main`, { ...stream, key: `d${n}/1/main` });
          }
          feed.tell('change');
          const first = performance.now() - began;
          const again = performance.now();
          feed.tell('change');
          done([document.querySelectorAll('.stream-row, .device-row').length, document.querySelector('.window').offsetHeight, first, performance.now() - again]);
        });
    """)
    print(f"500 cameras: {rows[0]} rows in the page, {rows[2]:.0f} ms at first, {rows[3]:.0f} ms a change")
    if rows[0] > 80 or rows[1] < 500 * 2 * 30:
        sys.exit(f"500 cameras: {rows}")
    # Sixteen tiles for a while: what is left behind when rubbish was taken out.
    driver.get("about:blank")
    person.driver.get(person.address + "#/live")
    plays(driver, ".tile video", "the grid")
    driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        Promise.all([import('/console/tile.js'), import('/console/feed.js')]).then(([{ Tile }, { feed }]) => {
          const streams = [...feed.streams.values()].filter((s) => s.key.startsWith('nvr/1/'));
          // Beside the grid, which keeps house within itself.
          const box = document.createElement('div');
          box.className = 'grid';
          document.querySelector('main').append(box);
          window.more = Array.from({ length: 14 }, () => { const tile = new Tile('nvr/1', false); box.append(tile.element); tile.update(streams); return tile; });
          done();
        });
    """)
    person.until("sixteen tiles that play", """
        const seen = [...document.querySelectorAll('.tile video')].filter((v) => v.getVideoPlaybackQuality().totalVideoFrames > 0);
        return seen.length >= 16;
    """)
    used = []
    for _ in range(4):
        time.sleep(TILES_SECONDS / 4)
        driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        usage = driver.execute_cdp_cmd("Runtime.getHeapUsage", {})
        counters = driver.execute_cdp_cmd("Memory.getDOMCounters", {})
        used.append((usage["usedSize"], counters["nodes"], counters["jsEventListeners"]))
    print(f"16 tiles: heap, nodes, listeners {used}")
    if used[-1][0] > used[0][0] + 3_000_000 or used[-1][1] > used[0][1] + 200 or used[-1][2] > used[0][2] + 40:
        sys.exit(f"sixteen tiles leave something behind: {used}")


def main():
    address, token, _, shots = sys.argv[1:5]
    keep = "KEEP_SCREENSHOTS" in os.environ

    def ask(method, path, body=None):
        answer = requests.request(method, address.rstrip("/") + path, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answer.raise_for_status()

    be_hostile(ask)
    with Person(address, shots) as person:
        person.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "window.fooled = () => { window.fooledBy = 1; };"})
        person.driver.get(address)
        person.js("localStorage.clear()")
        if token:
            person.sign_in(token)
        person.until("the grid", "return document.querySelector('.tile')")
        for language, theme, width in LOOKS if not keep else every_look():
            remember(person, language=language, theme=theme)
            person.driver.get("about:blank")
            set_screen(person, width, HEIGHTS[width])
            where = f"{language}, {theme}, {width} px"
            for page in PAGES:
                settle(person, page)
                check_room(person, page, where)
                check_text(person, page)
                if WORDS[language] not in person.js("return document.querySelector('.top nav').textContent"):
                    sys.exit(f"{page} is not in {language}")
                if language == "en":
                    check_reading(person, page, where)
                if keep:
                    time.sleep(1)
                    person.driver.save_screenshot(f"{shots}/{page.replace('/', '-')}_{language}_{theme}_{width}.png")
        set_screen(person, 1400, 1000)
        remember(person, language="en", theme="auto")
        person.driver.get("about:blank")
        for page in PAGES:
            settle(person, page)
            check_keyboard(person, page)
        check_figures(person, shots)
        complaints = person.complaints(("401 (Unauthorized)",))
        if complaints:
            sys.exit(f"the pages complained: {complaints}")
    print(f"{len(PAGES)} pages are read, reached and not fooled")


if __name__ == "__main__":
    main()
