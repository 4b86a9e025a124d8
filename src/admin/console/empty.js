// What to write into the config where there is nothing to see yet.

import { copy, button, h } from "./dom.js";
import { t } from "./words.js";

const EXAMPLES = {
  cameras: `[[device]]
id       = "nvr1"
kind     = "nvr"            # camera | nvr | gateway
address  = "192.168.1.64"
user     = "admin"
password_file = "/etc/skyvis/nvr1.password"`,
  services: `[[registry.service]]
name = "web-api"
instances = [{ id = "a", address = "10.0.0.5", port = 9000 }]

# or, while skyvis runs:
# curl -X PUT http://127.0.0.1:9080/api/v1/services/web-api/instances/a \\
#      -d '{"address": "10.0.0.5", "port": 9000}'`,
  routes: `[[proxy.route]]
name        = "api"
path_prefix = "/api/"
service     = "web-api"`,
};

export function nothing(what) {
  const example = EXAMPLES[what];
  return h("section", { class: "empty", "data-empty": what, hidden: true },
    h("h2", {}, t(`none_${what}`)), h("p", {}, t(`none_${what}_what`)),
    h("pre", { tabindex: "0", "aria-label": t("example") }, example),
    button(t("copy"), {}, (event) => copy(example).then((done) => done && (event.target.textContent = t("copied")))));
}
