#!/usr/bin/env python3
"""A person with a link to what is live: headless Chromium gives the password and watches for 20 seconds.

Arguments: the link, its password, directory for screenshots, and the way by which it is to be watched: `websocket`, or
`segments`, where WebSocket is made to fail. Exits non-zero, saying what was not seen. Says how old the pictures are that
are seen: the simulator's bear the time as a bar code.
"""
import shutil
import sys
import tempfile
import time

from console_browser import browser, plays
from selenium.webdriver.common.by import By

SECONDS = 20
# Of so many windows one has to be without a stall.
WINDOWS_MAX = 4
STATE = """
const v = document.querySelector('video');
return [v.currentTime, v.getVideoPlaybackQuality().totalVideoFrames, window.stalls, v.webkitAudioDecodedByteCount,
        document.querySelector('main').dataset.way];
"""
NO_WEBSOCKET = """
window.WebSocket = class extends window.WebSocket { constructor(url) { super(url.href + '-is-in-the-way'); } };
"""
AGES = """
window.stalls = 0;
window.ages = [];
const video = document.querySelector('video');
video.addEventListener('waiting', () => { window.stalls += 1; });
const canvas = document.createElement('canvas');
[canvas.width, canvas.height] = [40, 1];
const paint = canvas.getContext('2d', { willReadFrequently: true });
const look = () => {
  const now = Date.now();
  paint.drawImage(video, 0, 0, video.videoWidth, 16, 0, 0, 40, 1);
  const { data } = paint.getImageData(0, 0, 40, 1);
  let code = 0n;
  for (let n = 0; n < 40; n += 1) code = (code << 1n) | (data[n * 4 + 1] > 128 ? 1n : 0n);
  const millis = code >> 8n;
  let sum = 0n;
  for (let n = 0n; n < 4n; n += 1n) sum += (millis >> (8n * n)) & 255n;
  if ((sum & 255n) === (code & 255n)) window.ages.push(Number((BigInt(now) - millis) & 0xffffffffn));
  video.requestVideoFrameCallback(look);
};
video.requestVideoFrameCallback(look);
"""


def main():
    link, password, shots, way = sys.argv[1:5]
    profile = tempfile.mkdtemp()
    driver = browser(profile)
    try:
        if way == "segments":
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_WEBSOCKET})
        driver.get(link)
        field = driver.find_element(By.CSS_SELECTOR, "input[type=password]")
        field.send_keys(password)
        field.submit()
        plays(driver, "video", "the page of the live play")
        time.sleep(2)
        driver.execute_script(AGES)
        # Where all is busy, pictures come less evenly than was to be thought, and the page learns by it.
        for window in range(1, WINDOWS_MAX + 1):
            before = driver.execute_script(STATE)
            time.sleep(SECONDS)
            after = driver.execute_script(STATE)
            if after[2] == before[2]:
                break
        driver.save_screenshot(f"{shots}/live_link.png")
        if after[0] - before[0] < SECONDS * 0.9 or after[1] - before[1] < SECONDS * 20 or after[2] > before[2] or after[3] == 0:
            sys.exit(f"in {SECONDS} s from {before} to {after} (time, frames, stalls, bytes of sound, way)")
        if after[4] != way:
            sys.exit(f"it is watched by {after[4]}")
        ages = sorted(driver.execute_script("return window.ages"))
        if len(ages) < SECONDS * 10:
            sys.exit(f"of {len(ages)} pictures alone it could be read how old they are")
        expected = ("401",) if way == "websocket" else ("401", "is-in-the-way")
        severe = [e for e in driver.get_log("browser") if e["level"] == "SEVERE" and "favicon" not in e["message"]
                  and not any(text in e["message"] for text in expected)]
        if severe:
            sys.exit(f"the page logged errors: {severe}")
        clock = driver.find_element(By.CSS_SELECTOR, "[data-clock]").text
        if not clock:
            sys.exit("the page does not say when the picture was taken")
        half, most = ages[len(ages) // 2], ages[len(ages) * 99 // 100]
        print(f"watched live by {after[4]}, {len(ages)} pictures {half} ms old, one of a hundred more than {most} ms, "
              f"{after[2]} stalls before the last {SECONDS} s of {window * SECONDS}; {clock}")
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    main()
