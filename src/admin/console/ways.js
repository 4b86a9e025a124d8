// The ways in which a browser can be shown what a camera sends now, the quickest first. Another way is another line here.
//
// A way: `name` (its words are in words.js as `way_<name>`), `can()` whether this browser could at all, and
// `open(video, stream, told)` which begins and gives `{ run, stop, wall }`: `run()` plays until it ends, and says whether
// anything was seen; `stop()` ends it at once; `wall()` is the wall time in ms of the picture that is seen, or null.
// `told(text, failed)` is for words to who watches.

import { LivePlayer, canPlay } from "./flow.js";
import { Player } from "./player.js";

/** Fragmented MP4 by WebSocket, picture by picture. */
const websocket = {
  name: "websocket",
  can: () => canPlay,
  open(video, stream) {
    const player = new LivePlayer(video, `media/${stream}/live.ws`);
    return { run: () => player.run(), stop: () => player.stop(), wall: () => player.wall()?.getTime() ?? null };
  },
};

/** HLS of low latency, by Media Source or by what the browser has of its own. */
const segments = {
  name: "segments",
  can: () => true,
  open(video, stream, told) {
    let resolve;
    const ended = new Promise((r) => { resolve = r; });
    let seen = false;
    const player = new Player(video, stream, null, { onStatus: told, onTime: () => { seen = true; } });
    return { run: () => ended, stop: () => { player.stop(); resolve(seen); }, wall: () => player.wall() };
  },
};

export const WAYS = [websocket, segments];
