#!/usr/bin/env python3
"""A person with a link: headless Chromium opens it, is asked for the password, watches, moves about, crosses a gap.

Arguments: the link, its password, directory for screenshots. Exits non-zero, saying what was not seen.
"""
import shutil
import sys
import tempfile

from console_browser import browser, plays
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS_MAX = 40


def wait(driver, what, script):
    try:
        return WebDriverWait(driver, SECONDS_MAX, poll_frequency=0.1).until(lambda d: d.execute_script(script))
    except Exception:
        state = driver.execute_script(
            "const v = document.querySelector('video');"
            "return v && [v.currentTime, v.duration, v.readyState, v.paused, document.querySelector('.message')?.textContent]"
        )
        sys.exit(f"{what}: not seen within {SECONDS_MAX} s: {state}\n{driver.get_log('browser')}")


def main():
    link, password, shots = sys.argv[1:4]
    profile = tempfile.mkdtemp()
    driver = browser(profile)
    try:
        driver.get(link)
        field = driver.find_element(By.CSS_SELECTOR, "input[type=password]")
        driver.save_screenshot(f"{shots}/question.png")
        field.send_keys("not this one")
        field.submit()
        wait(driver, "a wrong password", "return document.body.textContent.includes('The password is wrong.')")
        field = driver.find_element(By.CSS_SELECTOR, "input[type=password]")
        field.send_keys(password)
        field.submit()
        plays(driver, "video", "the page of the play")
        if "?" in driver.current_url or password in driver.page_source:
            sys.exit(f"the address bar holds more than the link: {driver.current_url}")
        if not driver.find_element(By.CSS_SELECTOR, "[data-clock]").text:
            sys.exit("no time is shown beside the picture")
        driver.save_screenshot(f"{shots}/playing.png")

        # Back and forth, also to where nothing was fetched yet.
        length = driver.execute_script("return document.querySelector('video').duration")
        if not 10 < length < 60:
            sys.exit(f"the film lasts {length} s")
        for place in (length - 3, 1.5):
            driver.execute_script("document.querySelector('video').currentTime = arguments[0]", place)
            wait(driver, f"a seek to {place}", f"""const v = document.querySelector('video');
                return !v.seeking && v.currentTime > {place} + 0.5 && v.currentTime < {place} + 3""")

        # Over the gap: the film goes on, and the clock beside it shows that time has passed.
        gap = driver.execute_script("return player.segments.findIndex(s => s.discontinuity)")
        if gap < 1:
            sys.exit("the film has no gap")
        place = driver.execute_script("return player.segments[arguments[0]].at", gap)
        leap = driver.execute_script(
            "const [a, b] = player.segments.slice(arguments[0] - 1, arguments[0] + 1);"
            "return (b.time - a.time) / 1000 - a.duration", gap)
        if leap < 0.2:
            sys.exit(f"the gap is one of {leap} s")
        driver.execute_script("document.querySelector('video').currentTime = arguments[0]", place - 1)
        wait(driver, "crossing the gap", f"return document.querySelector('video').currentTime > {place} + 1")
        driver.save_screenshot(f"{shots}/behind_the_gap.png")

        # To the end, and a reload does not ask again.
        driver.execute_script("document.querySelector('video').currentTime = arguments[0]", length - 1)
        wait(driver, "the end", "return document.querySelector('video').ended")
        driver.get(link)
        plays(driver, "video", "the page opened again")
        severe = [e for e in driver.get_log("browser")
                  if e["level"] == "SEVERE" and "favicon" not in e["message"] and "401" not in e["message"]]
        if severe:
            sys.exit(f"the page logged errors: {severe}")
        print("a play was watched, moved about in, and its gap crossed")
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    main()
