#!/usr/bin/env python3
"""hls.js as a judge: headless Chromium plays a live playlist with it for a while.

Arguments: the page, with the playlist behind `?src=`. Exits non-zero, saying what hls.js had to say against it.
"""
import shutil
import sys
import tempfile
import time

from console_browser import browser, plays

SECONDS = 15
# Of so many times that it is opened one has to be without a stall, from the first picture on.
TIMES_MAX = 4
# What it says of a browser that is too busy, and no playlist can help.
OF_ITSELF = ("bufferStalledError", "bufferNudgeOnStall", "bufferSeekOverHole")


def main():
    profile = tempfile.mkdtemp()
    driver = browser(profile)
    try:
        for opened in range(1, TIMES_MAX + 1):
            driver.get(sys.argv[1])
            plays(driver, "video", "hls.js")
            before = driver.execute_script("return window.look()")
            time.sleep(SECONDS)
            after = driver.execute_script("return window.look()")
            errors = [e for e in after["errors"] if not e.startswith(OF_ITSELF)]
            if errors:
                sys.exit(f"hls.js has something against it: {errors}")
            if after["stalls"] == 0:
                break
            print(f"time {opened}: {after['stalls']} stalls, {before['stalls']} of them at the very start: {after}")
        if after["stalls"] > 0:
            sys.exit(f"it stalls each time that it is opened: {after}")
        if after["time"] - before["time"] < SECONDS * 0.7 or after["frames"] - before["frames"] < SECONDS * 15:
            sys.exit(f"in {SECONDS} s from {before} to {after}")
        if not after["part"] or after["parts"] - before["parts"] < SECONDS:
            sys.exit(f"it does not go by parts: {after}")
        print(f"hls.js: the first picture after {after['first']:.0f} ms, no stall: {after}")
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    main()
