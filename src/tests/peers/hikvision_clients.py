"""Two field-used clients of Hikvision's ISAPI, unmodified, against a simulated device.

    python3 hikvision_clients.py HTTP_ADDRESS CONTROL_ADDRESS KIND USER PASSWORD

HTTP_ADDRESS and CONTROL_ADDRESS are host:port; KIND is `camera` or `nvr`. Needs the packages hikvisionapi and pyhik
from PyPI. Exits 0 where both clients see what they should, else 1 with a line for each surprise.
"""

import sys
import threading
import time
import urllib.request

import hikvisionapi
import pyhik.hikvision

SECONDS_TO_WAIT = 20


def control(address, path):
    """Drives a fault."""
    urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", method="POST"), timeout=5).read()


def wait_until(what):
    """True as soon as `what()` is, False when it never was."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False


def try_hikvisionapi(base, control_address, kind, user, password):
    """Documents by attribute, a list, a search and the event stream."""
    # It gives an event out when the next one begins, so it has to wait for two heartbeats.
    client = hikvisionapi.Client(base, user, password, timeout=SECONDS_TO_WAIT)
    info = client.System.deviceInfo(method="get")["DeviceInfo"]
    yield info["deviceType"] == {"camera": "IPCamera", "nvr": "NVR"}[kind], f"deviceType {info['deviceType']}"
    status = client.System.status(method="get")["DeviceStatus"]
    yield int(status["deviceUpTime"]) >= 0, "deviceUpTime"
    streams = client.Streaming.channels(method="get")["StreamingChannelList"]["StreamingChannel"]
    yield [s["id"] for s in streams][:2] == ["101", "102"], f"streams {[s['id'] for s in streams]}"
    if kind == "nvr":
        proxies = client.ContentMgmt.InputProxy.channels.status(method="get")["InputProxyChannelStatusList"]
        online = [c["online"] for c in proxies["InputProxyChannelStatus"]]
        yield online and set(online) == {"true"}, f"online {online}"
    events = client.Event.notification.alertStream(method="get", type="stream")
    first = events[0]["EventNotificationAlert"]
    yield first["eventType"] == "videoloss" and first["eventState"] == "inactive", f"first event {first}"


def try_pyhik(base, control_address, kind, user, password):
    """Identity, channels and motion that begins and ends."""
    host, port = base.rsplit(":", 1)
    camera = pyhik.hikvision.HikCamera(host, port=int(port), usr=user, pwd=password)
    yield camera.get_type == {"camera": "CAM", "nvr": "NVR"}[kind], f"type {camera.get_type}"
    yield bool(camera.get_id), f"id {camera.get_id}"
    motion = camera.current_event_states.get("Motion", [])
    yield [state[1] for state in motion][:1] == [1], f"motion triggers {camera.current_event_states}"
    seen = threading.Event()
    camera.add_update_callback(lambda _: seen.set(), f"{camera.get_id}.Motion.1")
    camera.start_stream()
    try:
        def motion_seen():
            control(control_address, "/channels/1/motion?active=true")
            return seen.wait(0.5) and camera.fetch_attributes("Motion", 1)[0]

        yield wait_until(motion_seen), "motion never began"
        control(control_address, "/channels/1/motion?active=false")
        yield wait_until(lambda: not camera.fetch_attributes("Motion", 1)[0]), "motion never ended"
    finally:
        camera.disconnect()


def main():
    http_address, control_address, kind, user, password = sys.argv[1:]
    surprises = []
    for client in (try_hikvisionapi, try_pyhik):
        try:
            checks = client(f"http://{http_address}", control_address, kind, user, password)
            surprises += [f"{client.__name__}: {text}" for fine, text in checks if not fine]
        except Exception as error:  # any exception of a client is a surprise
            surprises.append(f"{client.__name__}: {type(error).__name__}: {error}")
    print("\n".join(surprises) or "both clients are content")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
