#!/usr/bin/env python3
"""A person at work at the console: signs in, watches, sees a camera go and come, seeks over a gap, takes a file and a link
away, sees a service appear, asks for a route, reads the config, and is told when the daemon is away.

Arguments: console address, operator's token, control address of the simulated recorder, directory for screenshots and
downloads. Exits non-zero, saying what was not seen.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import requests
from console_browser import browser, click_lane, plays
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

SECONDS_MAX = 40
STREAM = "nvr/1/main"
REPORTS = """
window.reports = [];
addEventListener('securitypolicyviolation', (e) => reports.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
addEventListener('error', (e) => reports.push(`error: ${e.message} ${e.filename}:${e.lineno}`));
addEventListener('unhandledrejection', (e) => reports.push(`rejected: ${e.reason?.stack ?? e.reason}`));
"""


NO_WEBSOCKET = "window.WebSocket = class extends window.WebSocket { constructor(url) { super(url.href + '-is-in-the-way'); } };"


class Person:
    def __init__(self, address, shots, language="en"):
        self.address, self.shots = address, shots
        self.profile = tempfile.mkdtemp()
        self.driver = browser(self.profile)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": REPORTS})
        self.driver.execute_cdp_cmd("Emulation.setLocaleOverride", {"locale": language})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, what, script, *arguments, seconds=SECONDS_MAX):
        try:
            return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: self.js(script, *arguments))
        except Exception:
            self.driver.save_screenshot(f"{self.shots}/failed.png")
            text = self.driver.find_element(By.TAG_NAME, "body").text[:1500]
            sys.exit(f"{what}: not seen within {seconds} s\n{self.driver.get_log('browser')}\n{text}")

    def one(self, selector):
        self.until(selector, "return document.querySelector(arguments[0])", selector)
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def page(self, name):
        self.driver.get(f"{self.address}#/{name}")
        self.until(f"page {name}", "return document.querySelector('main').className === arguments[0]", name.split("/")[0])

    def sign_in(self, token):
        field = self.one("#token")
        field.clear()
        field.send_keys(token, Keys.ENTER)

    def complaints(self, expected=()):
        severe = [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]
        severe = [m for m in severe if "favicon" not in m and not any(text in m for text in expected)]
        return severe + self.js("return window.reports ?? []")


def signs_in(person, token):
    person.driver.get(person.address)
    person.sign_in("not this one")
    person.until("a wrong token", "return document.querySelector('#token-wrong')?.textContent")
    person.sign_in(token)
    person.until("the live grid behind the sign-in", "return document.querySelector('.tile')")
    kept = person.js("return document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    if token in kept or "skyvis-session" in kept:
        sys.exit(f"scripts can read the session: {kept}")


def watches_without_websocket(person, token):
    """Where the quickest way is in the way of something, the next one is taken."""
    person.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_WEBSOCKET})
    person.driver.get(person.address)
    person.sign_in(token)
    person.until("the next way", "return document.querySelector('.tile')?.dataset.way === 'segments'")
    plays(person.driver, ".tile video", "live grid by segments")


def watches(person, control):
    plays(person.driver, ".tile video", "live grid")
    ways = person.js("return [...document.querySelectorAll('.tile')].map(t => t.dataset.way)")
    if "websocket" not in ways:
        sys.exit(f"live grid: it is watched by {ways}")
    person.until("the age of a picture", "return / s ago/.test(document.querySelector('.tile .age').textContent)")
    # A camera goes: from the event to the page.
    person.js("""
        window.gone = null;
        const look = () => {
          const badge = document.querySelector('[data-stream="nvr/2"] .badge');
          if (badge?.dataset.state === 'offline' && !window.gone) window.gone = Date.now();
        };
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
    """)
    requests.post(f"{control}/channels/2/offline", timeout=10).raise_for_status()
    gone = person.until("a camera that goes", "return window.gone")
    person.js("import('/console/feed.js').then(({ feed }) => { window.feed = feed; })")
    stamp = person.until("the event of it", """
        const event = window.feed?.events.findLast((e) => e.kind === 'stream.offline' && e.subject.startsWith('nvr/2'));
        return event && Date.parse(event.time);
    """)
    if gone - stamp >= 1_000:
        sys.exit(f"a camera was shown as gone {gone - stamp} ms after it went")
    requests.post(f"{control}/channels/2/online", timeout=10).raise_for_status()
    person.until("a camera that comes back", "return document.querySelector('[data-stream=\"nvr/2\"] .badge').dataset.state === 'running'")
    print(f"a camera that went was shown as gone {gone - stamp} ms later")


def seeks(person, ask):
    # A gap, by a pause.
    ask("POST", f"/api/v1/streams/{STREAM}/pause")
    person.until("nothing", "return true")
    time.sleep(3)
    ask("POST", f"/api/v1/streams/{STREAM}/resume")
    deadline = time.time() + SECONDS_MAX
    while True:
        spans = ask("GET", f"/api/v1/recordings?stream={STREAM}")["spans"]
        if len(spans) >= 2 and parse(spans[-1]["end"]) - parse(spans[-1]["start"]) > 6_000:
            break
        if time.time() > deadline:
            sys.exit(f"no gap came: {spans}")
        time.sleep(0.2)
    edge, begin = parse(spans[-2]["end"]), parse(spans[-1]["start"])
    person.page(f"timeline/{STREAM}")
    click_lane(person.driver, STREAM)
    plays(person.driver, "video[data-player]", "the timeline")
    # To just before the gap, and over it.
    person.page(f"timeline/{STREAM}/@{edge - 2_500}")
    person.until("the words on the gap that is crossed", "return document.querySelector('.seat .message').textContent.includes('recording was paused')")
    person.until("the time behind the gap", "return Date.parse(document.querySelector('[data-clock]').dateTime) > arguments[0]", begin + 500)
    listed = person.js("return [...document.querySelectorAll('.gaps [data-gap=paused]')].length")
    if listed < 1:
        sys.exit("the gap is not listed beside the strips")
    body = person.driver.find_element(By.TAG_NAME, "body")
    before = person.js("return Date.parse(document.querySelector('[data-clock]').dateTime)")
    body.send_keys(Keys.ARROW_LEFT)
    person.until("ten seconds back by the key", "return Date.parse(document.querySelector('[data-clock]').dateTime) < arguments[0]", before - 5_000)
    return parse(spans[-1]["start"])


def takes_away(person, begin, token):
    person.page(f"timeline/{STREAM}/@{begin + 500}")
    body = person.driver.find_element(By.TAG_NAME, "body")
    plays(person.driver, "video[data-player]", "the span that is to be marked")
    body.send_keys("[")
    marked = person.js("return Date.parse(document.querySelector('[data-clock]').dateTime)")
    person.until("two seconds more", "return Date.parse(document.querySelector('[data-clock]').dateTime) > arguments[0]", marked + 2_200)
    body.send_keys("]")
    person.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": person.shots})
    person.one("[data-download]:not(:disabled)").click()
    person.until("the end of the download", "return document.querySelector('[data-said]').textContent.startsWith('Saved')")
    deadline = time.time() + SECONDS_MAX
    while not (files := glob.glob(f"{person.shots}/nvr-1-main_*.mp4")):
        if time.time() > deadline:
            sys.exit(f"no file came: {os.listdir(person.shots)}")
        time.sleep(0.1)
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames,duration", "-of", "json", files[0]],
        capture_output=True, text=True, check=True,
    )
    stream = json.loads(probed.stdout)["streams"][0]
    if int(stream["nb_read_frames"]) < 40 or probed.stderr:
        sys.exit(f"the file does not play: {probed.stdout} {probed.stderr}")
    person.one("[data-link]").click()
    person.one("dialog.link [name=password]").send_keys("Gehe im+1")
    person.one("dialog.link button[type=submit]").click()
    link = person.until("a link", "return document.querySelector('[data-made]:not([hidden])')?.value")
    with Person(person.address, person.shots) as other:
        other.driver.get(link)
        field = other.one("input[type=password]")
        field.send_keys("Gehe im+1")
        field.submit()
        plays(other.driver, "video", "the link in another profile")
        if token in other.driver.page_source:
            sys.exit("the page of a link holds the token")
    person.js("document.querySelector('dialog.link').close()")
    print(f"a marked span became a file of {stream['nb_read_frames']} pictures and a link that plays elsewhere")


def sees_services(person, address, token):
    person.page("services")
    person.until("the list of services", "return document.querySelector('.window')")
    curl = ["curl", "-fsS", "-X", "PUT", "-H", f"Authorization: Bearer {token}", f"{address}api/v1/services/by-curl/instances/a",
            "-d", json.dumps({"address": "127.0.0.1", "port": 9, "tags": ["new"]})]
    subprocess.run(curl, check=True, capture_output=True)
    person.until("a service that was registered by curl", "return document.querySelector('[data-service=\"by-curl\"]')", seconds=5)
    person.js("document.querySelector('[data-service=\"by-curl\"] a').click()")
    person.until("its instance", "return document.querySelector('[data-instance=\"a\"]')?.textContent.includes('127.0.0.1:9')")
    person.page("routes")
    field = person.one("input[name=url]")
    field.send_keys("http://any.example/api/x?y", Keys.ENTER)
    person.until("the route that a URL meets", "return document.querySelector('.route.met')?.dataset.route === 'api'")
    if "web-api" not in person.one("[data-answer]").text:
        sys.exit(f"the answer is: {person.one('[data-answer]').text}")
    person.until("rates of routes", "return / requests\\/s/.test(document.querySelector('.plots').textContent)")


def reads_the_system(person, ask):
    person.page("system")
    person.until("the disk", "return / free of /.test(document.querySelector('[data-card=disk]')?.textContent)")
    person.until("the load", "return / of \\d+ cores/.test(document.querySelector('[data-card=load]').textContent)")
    person.page("system/config")
    person.until("where a value comes from", "return [...document.querySelectorAll('tr.set')].some((r) => r.textContent.includes('data_dir') && /line \\d+/.test(r.textContent))")
    shown = person.driver.find_element(By.TAG_NAME, "main").text
    if "Sk7!vis" in shown or "***" not in shown:
        sys.exit("the config shows a secret, or none that is blanked")
    person.page("system/events")
    person.until("past events", "return document.querySelectorAll('.event-row').length > 5")
    ask("POST", f"/api/v1/streams/nvr/2/main/pause?reason=works")
    person.until("an event as it happens", "return document.querySelector('.event-row')?.parentElement.textContent.includes('works')", seconds=5)
    # The daemon is away, something happens meanwhile, and it is back.
    cut = lambda offline: person.driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions", {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
    person.driver.execute_cdp_cmd("Network.enable", {})
    person.js("import('/console/feed.js').then(({ feed }) => { window.feed = feed; })")
    person.until("the feed", "return window.feed")
    cut(True)
    person.js("dispatchEvent(new Event('offline'))")
    person.until("a banner while the daemon is away", "return document.querySelector('.banner.bad')")
    ask("POST", f"/api/v1/streams/nvr/2/main/resume")
    cut(False)
    person.until("the banner gone", "return !document.querySelector('.banner.bad')")
    person.until("what happened meanwhile", "return feed.events.at(-1).kind === 'recording.unpaused' || feed.events.slice(-20).some((e) => e.kind === 'recording.unpaused')")
    ids = person.js("return feed.events.map((e) => e.id)")
    if ids != sorted(set(ids)):
        sys.exit(f"events came twice, or in disorder, over the break: {ids}")


def parse(text):
    from datetime import datetime
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def main():
    address, token, control, shots = sys.argv[1:5]

    def ask(method, path):
        answer = requests.request(method, address.rstrip("/") + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answer.raise_for_status()
        return answer.json()

    with Person(address, shots) as person:
        watches_without_websocket(person, token)
    with Person(address, shots) as person:
        signs_in(person, token)
        watches(person, control)
        begin = seeks(person, ask)
        takes_away(person, begin, token)
        sees_services(person, address, token)
        complaints = person.complaints(("401 (Unauthorized)",))
        if complaints:
            sys.exit(f"the pages complained: {complaints}")
        reads_the_system(person, ask)
        complaints = person.complaints(("ERR_INTERNET_DISCONNECTED",))
        if complaints:
            sys.exit(f"the pages complained: {complaints}")
    print("every page did what it is for")


if __name__ == "__main__":
    main()
