// Why something is not as it should be, in words, and what to do about it.

import { isolated } from "./dom.js";
import { t, has } from "./words.js";

/** The reasons that machines give, as a person says them; what is a sentence already stays one. */
export const reasonOf = (text) => (has(`reason_${text}`) ? t(`reason_${text}`) : isolated(sentence(text)));

/** Why something was not recorded. */
export const causeOf = (word) => (has(`cause_${word}`) ? t(`cause_${word}`) : word);

/** Begins with a capital and ends with a full stop. */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?。]$/.test(text) ? "" : ".");

/** What somebody at the console can do; empty where nothing is wrong. */
export function adviceFor(device, channel, stream) {
  const { reason, state, pause } = stream ?? {};
  if (reason && has(`do_${reason}`)) return t(`do_${reason}`);
  if (pause) return t("do_paused");
  if (device?.presence === "locked") return device.until ? t("do_locked_until") : t("do_locked", { id: device.id });
  if (/password|401|unauthori|credential/i.test(`${device?.error ?? ""} ${reason ?? ""}`)) return t("do_password", { id: device?.id ?? "" });
  if (device?.presence === "offline") return t("do_offline", { address: device.address });
  if (device?.presence === "flapping") return t("do_flapping");
  if (channel?.presence === "offline") return t("do_channel_offline", { n: channel.channel });
  if (state === "backoff") return t("do_backoff");
  if (state === "offline") return t("do_channel_offline", { n: channel?.channel ?? "" });
  return "";
}

/** What kind of a cause it is: its colour in the strips. */
const KINDS = {
  camera: ["offline", "unreachable", "stream_error", "silence", "connecting"],
  account: ["auth", "locked"],
  disk: ["disk_full", "disk_error", "overload"],
  host: ["restart", "crash", "clock_step"],
  wanted: ["schedule", "paused", "removed"],
};
export const CAUSE_KINDS = [...Object.keys(KINDS), "unknown"];
export const kindOf = (cause) => Object.keys(KINDS).find((kind) => KINDS[kind].includes(cause)) ?? "unknown";
