#!/usr/bin/env python3
"""A person at the console: headless Chromium opens it, sees live pictures, clicks a span and watches it play.

Arguments: console address, stream key, directory for screenshots. Exits non-zero, saying what was not seen.
"""
import shutil
import sys
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS_MAX = 40


def browser(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1000",
        f"--user-data-dir={profile}",
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

        # The recordings of the stream: a span of its timeline, clicked, plays.
        driver.get(f"{address}#recordings/{stream}")
        span = WebDriverWait(driver, SECONDS_MAX).until(
            lambda d: next((s for s in d.find_elements(By.CSS_SELECTOR, "[data-span]") if s.is_displayed()), None)
        )
        time.sleep(0.5)
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", span)
        driver.execute_script("arguments[0].click()", span)
        plays(driver, "video[data-player]", "recorded span")
        WebDriverWait(driver, SECONDS_MAX).until(
            lambda d: d.execute_script("return document.querySelector('video[data-player]').webkitAudioDecodedByteCount") > 0,
            "recorded span: no sound was decoded",
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
