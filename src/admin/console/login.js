// Asks for the token until it is right.

import { h, setText } from "./dom.js";
import { session } from "./session.js";
import { t } from "./words.js";

/** Ends once there is a session. */
export function login(why) {
  if (document.getElementById("login")) return new Promise(() => {});
  return new Promise((resolve) => {
    const field = h("input", { type: "password", name: "token", id: "token", autocomplete: "current-password", spellcheck: "false", "aria-describedby": "token-wrong", required: true });
    const wrong = h("p", { class: "wrong", id: "token-wrong", role: "alert" });
    const send = h("button", { type: "submit", class: "main" }, t("sign_in"));
    const dialog = h("dialog", { id: "login", "aria-labelledby": "login-title" },
      h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); enter(); } },
        h("h2", { id: "login-title" }, "skyvis"), h("p", {}, why),
        h("label", {}, t("token"), field), wrong, send));
    const enter = async () => {
      send.disabled = true;
      try {
        await session.begin(field.value.trim());
        dialog.remove();
        resolve();
      } catch (error) {
        setText(wrong, error.status === 401 ? t("token_wrong") : error.message);
        field.select();
      }
      send.disabled = false;
    };
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}
