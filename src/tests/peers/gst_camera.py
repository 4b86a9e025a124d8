#!/usr/bin/python3
"""An independent camera: GStreamer's RTSP server with digest or basic authentication.

Arguments: user password video audio [digest|basic]. Prints the port on one line once it serves, and runs until its standard input is
closed. The path is that of a Hikvision main stream of channel 1. A name that ends in `-inband` sends parameter sets within
the stream alone: its description has none.

Lines of standard input change it while it serves: `video NAME` ends every session, and the next is of that sort; `drop` ends
every session alone; `size WxH` changes the pictures within the sessions.
"""
import contextlib
import socket
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

X264 = "x264enc speed-preset=ultrafast bitrate=500 key-int-max=25"
X265 = "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=500"
VIDEO = {
    "h264": f"{X264} tune=zerolatency ! rtph264pay name=pay0 pt=96 config-interval=0",
    # Slices of one picture, access unit delimiters, aggregated packets, parameter sets before each key frame.
    "h264-sliced": f"{X264} tune=zerolatency aud=true option-string=slices=4 ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h264-inband": f"{X264} tune=zerolatency ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h264-bframes": f"{X264} bframes=3 b-adapt=false b-pyramid=true rc-lookahead=5 sync-lookahead=0 ! video/x-h264,profile=high ! rtph264pay name=pay0 pt=96 config-interval=0",
    "h264-long": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=100000 ! rtph264pay name=pay0 pt=96 config-interval=0",
    "h264-refresh": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=25 intra-refresh=true ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": f"{X265} ! rtph265pay name=pay0 pt=96 config-interval=0",
    "h265-inband": f"{X265} ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc quality=60 ! rtpjpegpay name=pay0 pt=26",
}
NOISE = "audiotestsrc is-live=true wave=pink-noise volume=0.4 samplesperbuffer=160 ! audioconvert"
MONO8 = f"{NOISE} ! audio/x-raw,rate=8000,channels=1"
AUDIO = {
    "none": "",
    "aac": "audiotestsrc is-live=true ! audio/x-raw,rate=16000,channels=1 ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
    "alaw": f"{MONO8} ! alawenc ! rtppcmapay name=pay1 pt=8",
    "mulaw": f"{MONO8} ! mulawenc ! rtppcmupay name=pay1 pt=0",
    "g722": f"{NOISE} ! audio/x-raw,rate=16000,channels=1 ! avenc_g722 ! rtpg722pay name=pay1 pt=9",
    "g726": f"{MONO8} ! avenc_g726 bitrate=32000 ! rtpg726pay name=pay1 pt=98 force-aal2=false",
    "l16": f"{NOISE} ! audio/x-raw,format=S16BE,rate=16000,channels=1 ! rtpL16pay name=pay1 pt=99",
    "opus": f"{NOISE} ! audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay name=pay1 pt=100",
}


def without_parameter_sets(port):
    """A listener in front of the server that renames the description's parameter sets, so that nobody finds them."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        # Either side may go at any time.
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data.replace(b"sprop-", b"xprop-"))
            sink.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            client = listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def factory_of(video, audio):
    factory = GstRtspServer.RTSPMediaFactory()
    source = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
    # A reader that joins late finds the encoder at work, as at a real camera.
    source += " ! videoscale ! capsfilter name=size caps=video/x-raw,width=320,height=240"
    factory.set_launch(f"( {source} ! {VIDEO[video]} {AUDIO[audio]} )")
    factory.set_shared(True)
    return factory


class Camera:
    """What is served now."""

    def __init__(self, server, audio):
        self.server, self.audio, self.media = server, audio, None

    def serve(self, video):
        factory = factory_of(video, self.audio)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
        factory.connect("media-configure", self.keep)
        self.server.get_mount_points().add_factory("/Streaming/Channels/101", factory)

    def keep(self, _factory, media):
        self.media = media

    def drop(self):
        self.server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)

    def obey(self, line):
        word, _, value = line.strip().partition(" ")
        if word == "video":
            self.serve(value)
        if word == "size":
            width, height = value.split("x")
            caps = Gst.Caps.from_string(f"video/x-raw,width={width},height={height}")
            self.media.get_element().get_by_name("size").set_property("caps", caps)
        else:
            self.drop()
        return False


def main():
    user, password, video, audio, asks = (sys.argv[1:] + ["digest"])[:5]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    auth = GstRtspServer.RTSPAuth()
    # GstRTSPAuthMethod: 1 is basic, 2 is digest.
    auth.set_supported_methods({"basic": 1, "digest": 2}[asks])
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    camera = Camera(server, audio)
    camera.serve(video)
    server.attach(None)
    loop = GLib.MainLoop()

    def until_closed():
        for line in sys.stdin:
            GLib.idle_add(camera.obey, line)
        loop.quit()

    threading.Thread(target=until_closed, daemon=True).start()
    port = server.get_bound_port()
    print(without_parameter_sets(port) if video.endswith("-inband") else port, flush=True)
    loop.run()


if __name__ == "__main__":
    main()
