// Who is at this browser. The token is sent once; what is kept is a cookie that no script reads.

import { json, send } from "./api.js";

class Session {
  role = null;
  needsToken = false;

  #take({ role, needs_token: needsToken }) {
    Object.assign(this, { role, needsToken });
  }

  async look() {
    for (;;) {
      try {
        return this.#take(await json("session"));
      } catch (error) {
        if (error.status === 403) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
    }
  }

  async begin(token) {
    this.#take(await send("POST", "session", { token }));
  }

  async end() {
    await json("session", { method: "DELETE" });
    location.reload();
  }

  /** Whether things may be changed here. */
  get operates() {
    return this.role === "operator";
  }
}

export const session = new Session();
