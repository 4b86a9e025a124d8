#!/usr/bin/env python3
"""A page that shows what is live by WebRTC: headless Chromium offers, is answered and watches for 20 seconds.

Arguments: a page of the same origin, the address to POST to, the token, directory for screenshots, and `udp` or `tcp`: by
which it is to be watched; for `tcp` the browser is told to send no datagrams. Exits non-zero, saying what was not seen. Says
how old the pictures are that are seen: the simulator's bear the time as a bar code.
"""
import shutil
import sys
import tempfile
import time

from console_browser import browser
from live_browser import AGES, SECONDS, WINDOWS_MAX

FIRST_MS_MAX = 20_000
BEGIN = """
const [url, token, wait, done] = arguments;
const watch = async () => {
  document.body.innerHTML = '<video playsinline></video>';
  const video = document.querySelector('video');
  video.muted = true;
  const pc = window.pc = new RTCPeerConnection();
  const stream = new MediaStream();
  pc.ontrack = ({ track }) => stream.addTrack(track);
  for (const kind of ['video', 'audio']) pc.addTransceiver(kind, { direction: 'recvonly' });
  await pc.setLocalDescription();
  const asked = performance.now();
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
  const answer = await fetch(url, { method: 'POST', headers, body: pc.localDescription.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  window.session = new URL(answer.headers.get('Location'), answer.url).href;
  await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  video.srcObject = stream;
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`nothing is shown, ${pc.connectionState}`)), wait));
  video.play().catch(() => {});
  await Promise.race([shown, late]);
  return performance.now() - asked;
};
watch().then(done, (error) => done(String(error)));
"""
STATE = """
const done = arguments[0];
pc.getStats().then((stats) => {
  const all = [...stats.values()];
  const of = (type, kind) => all.find((s) => s.type === type && (!kind || s.kind === kind)) ?? {};
  const video = of('inbound-rtp', 'video');
  const audio = of('inbound-rtp', 'audio');
  const pair = stats.get(of('transport').selectedCandidatePairId) ?? {};
  done({
    time: document.querySelector('video').currentTime, frames: video.framesDecoded ?? 0, freezes: video.freezeCount ?? 0,
    keys: video.keyFramesDecoded, lost: video.packetsLost, asked: video.pliCount, nacks: video.nackCount,
    sound: audio.packetsReceived ?? 0, concealed: audio.concealedSamples ?? 0, coded: (stats.get(audio.codecId) ?? {}).mimeType,
    by: (stats.get(pair.localCandidateId) ?? {}).protocol, to: (stats.get(pair.remoteCandidateId) ?? {}).protocol,
    buffered: video.jitterBufferDelay / video.jitterBufferEmittedCount,
  });
});
"""


def main():
    page, url, token, shots, way = sys.argv[1:6]
    profile = tempfile.mkdtemp()
    flags = ("--webrtc-ip-handling-policy=disable_non_proxied_udp",) if way == "tcp" else ()
    driver = browser(profile, flags)
    try:
        driver.set_script_timeout(60)
        driver.get(page)
        first = driver.execute_async_script(BEGIN, url, token, FIRST_MS_MAX)
        if not isinstance(first, (int, float)):
            sys.exit(f"{first}; {driver.execute_script('return window.pc?.localDescription?.sdp')}")
        time.sleep(2)
        driver.execute_script(AGES)
        # Where all is busy, pictures come less evenly than was to be thought.
        for window in range(1, WINDOWS_MAX + 1):
            before = driver.execute_async_script(STATE)
            time.sleep(SECONDS)
            after = driver.execute_async_script(STATE)
            if after["freezes"] == before["freezes"]:
                break
        driver.save_screenshot(f"{shots}/whep.png")
        if (after["time"] - before["time"] < SECONDS * 0.9 or after["frames"] - before["frames"] < SECONDS * 20
                or after["freezes"] > before["freezes"]):
            sys.exit(f"in {SECONDS} s from {before} to {after}")
        if after["sound"] - before["sound"] < SECONDS * 10 or after["coded"] not in ("audio/PCMA", "audio/PCMU"):
            sys.exit(f"no sound in {after}")
        if after["by"] != way:
            sys.exit(f"it is watched by {after}")
        ages = sorted(driver.execute_script("return window.ages"))
        if len(ages) < SECONDS * 10:
            sys.exit(f"of {len(ages)} pictures alone it could be read how old they are")
        ended = driver.execute_async_script("fetch(window.session, { method: 'DELETE' }).then((a) => arguments[0](a.status));")
        if ended != 200:
            sys.exit(f"DELETE of the session: {ended}")
        half, most = ages[len(ages) // 2], ages[len(ages) * 99 // 100]
        print(f"watched by {after['by']}, the first picture after {first:.0f} ms, {len(ages)} pictures {half} ms old, one of a "
              f"hundred more than {most} ms; {after}")
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    main()
