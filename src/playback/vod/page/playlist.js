// HLS media playlists and the few MP4 boxes that the player must read. Pure: text and bytes in, values out.

/**
 * Reads a media playlist. Each segment: `{ url, range, duration, time, discontinuity, map, number }`, where `time` is
 * the wall time of its start in ms, and `map` is `{ url, range }` of its init segment.
 */
export function parsePlaylist(text, base) {
  if (!text.startsWith("#EXTM3U")) throw new Error("The playlist is none.");
  const playlist = { segments: [], ended: false, target: 4 };
  let number = 0;
  let map = null;
  let next = { discontinuity: false, time: null, duration: 0, range: null };
  let clock = null;
  let rangeEnd = 0;
  for (const line of text.split(/\r?\n/)) {
    const [tag, value] = splitTag(line);
    if (tag === "#EXT-X-TARGETDURATION") playlist.target = Number(value);
    else if (tag === "#EXT-X-MEDIA-SEQUENCE") number = Number(value);
    else if (tag === "#EXT-X-ENDLIST") playlist.ended = true;
    else if (tag === "#EXT-X-DISCONTINUITY") next.discontinuity = true;
    else if (tag === "#EXT-X-PROGRAM-DATE-TIME") next.time = Date.parse(value);
    else if (tag === "#EXTINF") next.duration = parseFloat(value);
    else if (tag === "#EXT-X-BYTERANGE") {
      next.range = byteRange(value, rangeEnd);
      rangeEnd = next.range.last + 1;
    } else if (tag === "#EXT-X-MAP") {
      const attributes = parseAttributes(value);
      map = {
        url: new URL(attributes.URI, base).href,
        range: attributes.BYTERANGE ? byteRange(attributes.BYTERANGE, 0) : null,
      };
    } else if (line !== "" && !line.startsWith("#")) {
      const time = next.time ?? clock;
      playlist.segments.push({ ...next, time, url: new URL(line.trim(), base).href, map, number });
      clock = time === null ? null : time + next.duration * 1000;
      number += 1;
      next = { discontinuity: false, time: null, duration: 0, range: null };
    }
  }
  return playlist;
}

function splitTag(line) {
  if (!line.startsWith("#EXT")) return [null, null];
  const colon = line.indexOf(":");
  return colon < 0 ? [line.trim(), ""] : [line.slice(0, colon), line.slice(colon + 1).trim()];
}

function parseAttributes(text) {
  const attributes = {};
  for (const [, name, quoted, plain] of text.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) {
    attributes[name] = quoted ?? plain;
  }
  return attributes;
}

function byteRange(text, begin) {
  const [length, offset] = text.split("@").map(Number);
  const first = offset ?? begin;
  return { first, last: first + length - 1 };
}

/** The boxes of one type anywhere inside `bytes`, as views on their content. Only containers are entered. */
const CONTAINERS = new Set(["moov", "trak", "mdia", "minf", "stbl", "moof", "traf"]);
function* boxes(bytes, type) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 8 <= bytes.length) {
    let size = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const head = size === 1 ? 16 : 8;
    if (size === 1 && at + 16 <= bytes.length) size = Number(view.getBigUint64(at + 8));
    if (size === 0) size = bytes.length - at;
    if (size < head) return;
    const content = bytes.subarray(at + head, Math.min(at + size, bytes.length));
    if (name === type) yield content;
    else if (CONTAINERS.has(name)) yield* boxes(content, type);
    at += size;
  }
}

const number = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
const hex = (n, width = 2) => n.toString(16).toUpperCase().padStart(width, "0");

/** Of an init segment: `{ type, timescale }`, the MIME type with codecs, and the ticks per second of its first track. */
export function readInit(bytes) {
  const codecs = [];
  for (const table of boxes(bytes, "stsd")) {
    const entry = table.subarray(8);
    const name = String.fromCharCode(...entry.subarray(4, 8));
    if (name.startsWith("avc")) codecs.push(avc(name, find(entry, "avcC")));
    else if (name === "hvc1" || name === "hev1") codecs.push(hevc(name, find(entry, "hvcC")));
    else if (name === "mp4a") codecs.push("mp4a.40.2");
    else if (name === "fLaC") codecs.push("flac");
  }
  const [header] = boxes(bytes, "mdhd");
  const timescale = header ? number(header, header[0] === 1 ? 20 : 12) : 90000;
  return { type: `video/mp4; codecs="${codecs.join(",")}"`, timescale };
}

/** Of a piece of media that says when it was taken: `{ time, at }`, ms since the epoch, and seconds of the media. */
export function readReferenceTime(bytes) {
  for (const box of boxes(bytes, "prft")) {
    const view = new DataView(box.buffer, box.byteOffset, box.byteLength);
    const seconds = view.getUint32(8) - 2_208_988_800;
    return { time: seconds * 1000 + (view.getUint32(12) / 2 ** 32) * 1000, at: Number(view.getBigUint64(16)) / 90_000 };
  }
  return null;
}

/** The content of a box inside a sample entry, whose fixed fields differ by kind: found by its name. */
function find(entry, name) {
  const wanted = [...name].map((c) => c.charCodeAt(0));
  for (let i = 8; i + 4 < entry.length; i += 1) {
    if (wanted.every((c, j) => entry[i + j] === c)) return entry.subarray(i + 4);
  }
  throw new Error(`The video's description lacks its ${name}.`);
}

const avc = (name, c) => `${name}.${hex(c[1])}${hex(c[2])}${hex(c[3])}`;

/** RFC 6381 by ISO/IEC 14496-15 annex E. */
function hevc(name, c) {
  const space = ["", "A", "B", "C"][c[1] >> 6];
  let flags = number(c, 2);
  let reversed = 0;
  for (let i = 0; i < 32; i += 1) { reversed = ((reversed << 1) | (flags & 1)) >>> 0; flags >>>= 1; }
  const constraints = [...c.subarray(6, 12)];
  while (constraints.length > 0 && constraints[constraints.length - 1] === 0) constraints.pop();
  const tier = c[1] & 0x20 ? "H" : "L";
  return [`${name}.${space}${c[1] & 0x1f}`, reversed.toString(16).toUpperCase(), `${tier}${c[12]}`, ...constraints.map((b) => hex(b))].join(".");
}

/** Decoding time of a media segment's first track, in ticks. */
export function firstTime(bytes) {
  const [content] = boxes(bytes, "tfdt");
  if (!content) return 0;
  const view = new DataView(content.buffer, content.byteOffset);
  return content[0] === 1 ? Number(view.getBigUint64(4)) : view.getUint32(4);
}
