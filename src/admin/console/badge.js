// A state as a word in its colour.

import { h, setAttribute, setText } from "./dom.js";
import { t } from "./words.js";

export function badge(state) {
  const element = h("span", {});
  setBadge(element, state);
  return element;
}

export function setBadge(element, state) {
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.className = `badge ${state}`;
  setText(element, t(`state_${state}`));
  setAttribute(element, "title", t(`state_${state}_why`));
}
