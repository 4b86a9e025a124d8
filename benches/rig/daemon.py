"""A daemon, and a simulated NVR that it may record, for rigs that harm its disk."""
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import time

PATIENCE_SECONDS = 60
PASSWORD = "Disk-2026"


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, **more)


def until(what, look, patience=PATIENCE_SECONDS):
    """Waits until `look` answers something; how long it took, and the answer."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        try:
            found = look()
            if found:
                return time.monotonic() - began, found
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not seen within {patience} s: {what}")


class Admin(http.client.HTTPConnection):
    """HTTP over the daemon's unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


class Camera:
    """`skyvis simulate` as a process."""

    def __init__(self, binary, channels):
        command = [binary, "simulate", "--kind", "nvr", "--channels", str(channels), "--password", PASSWORD, "--bitrate", "1000000"]
        self.channels = channels
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        ports = []
        while len(ports) < 2:
            line = self.process.stdout.readline()
            assert line, "the simulated NVR ended"
            ports += re.findall(r"(?:http|rtsp)://[0-9.]+:(\d+)", line)[:1]
        self.http, self.rtsp = ports[:2]

    def signal(self, number):
        self.process.send_signal(number)

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class Node:
    """A configuration, and the processes that run on it one after the other."""

    def __init__(self, binary, home, data, config):
        self.binary, self.home = binary, pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.socket, self.config, self.log = self.home / "admin.sock", self.home / "config.toml", self.home / "log"
        self.process = None
        self.config.write_text(f"""
data_dir = "{data}"
log.level = "info"
[admin]
listen = "unix:{self.socket}"
[proxy]
listen = []
{config}
""")

    def start(self, *under):
        self.process = subprocess.Popen([*under, self.binary, "run", "--config", str(self.config)], stderr=open(self.log, "ab"), stdout=subprocess.DEVNULL)

    def until_ready(self, patience=PATIENCE_SECONDS):
        def ready():
            assert self.process.poll() is None, f"the daemon ended:\n{self.log_text()[-3000:]}"
            return self.get("/readyz")[0] == 200
        return until("readiness", ready, patience)[0]

    def get(self, path):
        admin = Admin(self.socket)
        admin.request("GET", path)
        answer = admin.getresponse()
        return answer.status, answer.read()

    def json(self, path):
        status, body = self.get(path)
        if status != 200:
            raise ValueError(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)

    def stop(self, patience=20):
        self.process.terminate()
        began = time.monotonic()
        code = self.process.wait(timeout=patience)
        return code, time.monotonic() - began

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Daemon(Node):
    """One that records a simulated NVR."""

    def __init__(self, binary, camera, home, data, recordings=None, recording=""):
        self.camera, self.recordings = camera, pathlib.Path(recordings or pathlib.Path(data) / "recordings")
        super().__init__(binary, home, data, f"""
[hikvision]
poll_interval = "1s"
[[device]]
id = "nvr"
kind = "nvr"
address = "127.0.0.1:{camera.http}"
rtsp_port = {camera.rtsp}
user = "admin"
password = "{PASSWORD}"
[recording]
dir = "{self.recordings}"
segment = "2s"
min_free = "0B"
{recording}""")

    def disk(self):
        return self.json("/api/v1/status")["disk"]

    def streams(self):
        return self.json("/api/v1/streams")["items"]

    def segments(self, channel=1):
        return self.json(f"/api/v1/segments?stream=nvr/{channel}/main")["segments"]

    def until_recording(self, patience=PATIENCE_SECONDS):
        """Until footage of every channel grows; how long that took."""
        def frames():
            return [sum(s["frames"] for s in self.segments(n)) for n in range(1, self.camera.channels + 1)]
        before = until("listings", lambda: frames() or [0])[1]
        return until("footage of every channel", lambda: all(a > b for a, b in zip(frames(), before)), patience)[0]

    def until_state(self, state, patience=PATIENCE_SECONDS):
        return until(f"the disk's state {state}", lambda: self.disk()["state"] == state, patience)[0]

    def until_reason(self, reason, patience=PATIENCE_SECONDS):
        return until(f"every stream's reason {reason}", lambda: all(s["reason"] == reason and not s["recording"] for s in self.streams()), patience)[0]

    def verify(self, *more):
        said = subprocess.run([self.binary, "verify", "--config", str(self.config), "--json", *more], capture_output=True, text=True)
        text = said.stdout[said.stdout.find("{"):said.stdout.rfind("}") + 1]
        return said.returncode, json.loads(text) if text else {"stderr": said.stderr}


def undecodable(directory):
    """Files that ffmpeg complains of."""
    bad = []
    for file in sorted(pathlib.Path(directory).rglob("*.mp4")):
        said = subprocess.run(["ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "null", "-"], capture_output=True, text=True)
        if said.returncode or said.stderr:
            bad.append(f"{file.name}: {said.stderr[:200]}")
    return bad
