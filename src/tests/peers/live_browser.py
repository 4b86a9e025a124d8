#!/usr/bin/env python3
"""A person with a link to what is live: headless Chromium gives the password and watches for 20 seconds.

Arguments: the link, its password, directory for screenshots. Exits non-zero, saying what was not seen.
"""
import shutil
import sys
import tempfile
import time

from console_browser import browser, plays
from selenium.webdriver.common.by import By

SECONDS = 20
STATE = """
const v = document.querySelector('video');
return [v.currentTime, v.getVideoPlaybackQuality().totalVideoFrames, window.stalls, v.webkitAudioDecodedByteCount];
"""


def main():
    link, password, shots = sys.argv[1:4]
    profile = tempfile.mkdtemp()
    driver = browser(profile)
    try:
        driver.get(link)
        field = driver.find_element(By.CSS_SELECTOR, "input[type=password]")
        field.send_keys(password)
        field.submit()
        plays(driver, "video", "the page of the live play")
        time.sleep(2)
        driver.execute_script("window.stalls = 0;"
                              "document.querySelector('video').addEventListener('waiting', () => { window.stalls += 1; })")
        before = driver.execute_script(STATE)
        time.sleep(SECONDS)
        after = driver.execute_script(STATE)
        driver.save_screenshot(f"{shots}/live_link.png")
        if after[0] - before[0] < SECONDS * 0.9 or after[1] - before[1] < SECONDS * 20 or after[2] > 0 or after[3] == 0:
            sys.exit(f"in {SECONDS} s from {before} to {after} (time, frames, stalls, bytes of sound)")
        severe = [e for e in driver.get_log("browser")
                  if e["level"] == "SEVERE" and "favicon" not in e["message"] and "401" not in e["message"]]
        if severe:
            sys.exit(f"the page logged errors: {severe}")
        print(f"watched live: {before} to {after}")
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    main()
