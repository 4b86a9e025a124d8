#!/usr/bin/env python3
"""A person at the console: headless Chromium opens it, sees live pictures, clicks a moment of the timeline and watches it play.

Arguments: console address, stream key, directory for screenshots. Exits non-zero, saying what was not seen.
"""
import shutil
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS_MAX = 40


def browser(profile, more=()):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1000",
        f"--user-data-dir={profile}", *more,
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


PLAYED = """
const videos = [...document.querySelectorAll('%s')];
return videos.map(v => [v.currentTime, v.videoWidth, v.error ? v.error.message : null,
                        v.getVideoPlaybackQuality().totalVideoFrames]);
"""


def plays(driver, selector, what):
    """Waits until a video of the selector has shown pictures, and then more of them."""
    seen = None

    def advancing(_):
        nonlocal seen
        now = driver.execute_script(PLAYED % selector)
        going = [v for v in now if v[1] > 0 and v[3] > 0]
        if seen and going and any(b[3] > a[3] + 5 for a in seen for b in going):
            return True
        if going and not seen:
            seen = going
        return False

    try:
        WebDriverWait(driver, SECONDS_MAX, poll_frequency=0.25).until(advancing)
    except Exception:
        state = driver.execute_script(PLAYED % selector)
        logs = driver.get_log("browser")
        sys.exit(f"{what}: no running picture within {SECONDS_MAX} s: {state}\n{logs}\n{driver.find_element(By.TAG_NAME, 'body').text[:2000]}")


FOOTAGE = """
const lane = document.querySelector(`[data-lane="${arguments[0]}"]`);
const canvas = lane?.querySelector('canvas');
if (!canvas?.width) return null;
const pen = canvas.getContext('2d');
const { data } = pen.getImageData(0, Math.floor(canvas.height / 2), canvas.width, 1);
const style = getComputedStyle(document.documentElement);
const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const colours = ['--footage', '--footage-chosen'].map((name) => {
  paint.fillStyle = style.getPropertyValue(name);
  paint.fillRect(0, 0, 1, 1);
  return [...paint.getImageData(0, 0, 1, 1).data].join();
});
const is = (x) => colours.includes([...data.subarray(x * 4, x * 4 + 4)].join());
let [best, length] = [null, 0];
for (let x = 0, begin = 0; x <= canvas.width; x += 1) {
  if (x < canvas.width && is(x)) continue;
  if (x - begin > length) [best, length] = [begin, x - begin];
  begin = x + 1;
}
lane.scrollIntoView({ block: 'center' });
const box = lane.getBoundingClientRect();
return length < 6 ? null : [box.left + (best + length / 4) * box.width / canvas.width, box.top + box.height / 2];
"""


def click_lane(driver, stream):
    """Clicks where a strip shows footage: at the quarter of its longest run."""
    x, y = WebDriverWait(driver, SECONDS_MAX, poll_frequency=0.2).until(
        lambda d: d.execute_script(FOOTAGE, stream), f"no footage is painted for {stream}"
    )
    actions = ActionBuilder(driver)
    actions.pointer_action.move_to_location(int(x), int(y)).click()
    actions.perform()


def main():
    address, stream, shots = sys.argv[1:4]
    profile = tempfile.mkdtemp()
    driver = browser(profile)
    try:
        driver.get(address)
        plays(driver, "video", "live grid")
        if not driver.execute_script("return [...document.querySelectorAll('video')].every(v => v.muted)"):
            sys.exit("live grid: a tile is not muted")
        driver.save_screenshot(f"{shots}/live.png")

        # Its timeline: a moment of the strip, clicked, plays.
        driver.get(f"{address}#/timeline/{stream}")
        click_lane(driver, stream)
        plays(driver, "video[data-player]", "recorded moment")
        WebDriverWait(driver, SECONDS_MAX).until(
            lambda d: d.execute_script("return document.querySelector('video[data-player]').webkitAudioDecodedByteCount") > 0,
            "recorded moment: no sound was decoded",
        )
        driver.save_screenshot(f"{shots}/recording.png")

        severe = [e for e in driver.get_log("browser") if e["level"] == "SEVERE" and "favicon" not in e["message"]]
        if severe:
            sys.exit(f"the page logged errors: {severe}")
        print("live and recorded pictures were seen")
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    main()
