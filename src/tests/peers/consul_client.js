// The npm client of Consul on a node. Arguments: host and port of the API.
const assert = require("node:assert");
const { createRequire } = require("node:module");

const Consul = createRequire(process.env.NODE_PATH + "/")("consul");
const [host, port] = process.argv.slice(2);
const consul = new Consul({ host, port: Number(port) });

async function main() {
  const { agent, catalog, health } = consul;
  const self = await agent.self();
  assert.strictEqual(self.Config.Datacenter, "dc1");

  // Its watch hears of what comes.
  const watch = consul.watch({ method: health.service, options: { service: "api", passing: true }, backoffFactor: 100 });
  const heard = new Promise((resolve, reject) => {
    watch.on("change", (data) => {
      if (data.length === 1) resolve(data);
    });
    watch.on("error", reject);
  });
  await agent.service.register({
    name: "api", id: "api/1:x".replace("/", ":"), address: "10.0.0.1", port: 80, tags: ["a"], meta: { k: "v" },
    check: { ttl: "60s", deregistercriticalserviceafter: "1h" },
  });
  await agent.check.pass({ id: "service:api:1:x", note: "fine" });
  const [instance] = await heard;
  watch.end();
  assert.strictEqual(instance.Service.ID, "api:1:x");
  assert.deepStrictEqual(instance.Service.Meta, { k: "v" });
  assert.strictEqual(instance.Checks.at(-1).Output, "fine");

  assert.deepStrictEqual(Object.keys(await agent.service.list()), ["api:1:x"]);
  assert.ok("service:api:1:x" in (await agent.check.list()));
  await agent.check.fail("service:api:1:x");
  assert.deepStrictEqual(await health.service({ service: "api", passing: true }), []);
  assert.strictEqual((await health.state("critical")).length, 1);
  await agent.service.maintenance({ id: "api:1:x", enable: true });
  await agent.service.maintenance({ id: "api:1:x", enable: false });
  assert.deepStrictEqual(await catalog.service.list(), { api: ["a"], consul: [] });
  assert.strictEqual((await catalog.service.nodes("api"))[0].ServiceAddress, "10.0.0.1");
  assert.strictEqual((await catalog.node.list()).length, 1);
  assert.deepStrictEqual(await catalog.datacenters(), ["dc1"]);
  const { kv, session } = consul;
  assert.strictEqual(await kv.set("n/a", "x"), true);
  assert.strictEqual((await kv.get("n/a")).Value, "x");
  assert.strictEqual(await kv.get("none"), undefined);
  assert.deepStrictEqual(await kv.keys("n/"), ["n/a"]);
  const { ID } = await session.create({ name: "one", ttl: "60s", lockdelay: "0s" });
  assert.strictEqual(await kv.set({ key: "n/a", value: "y", acquire: ID }), true);
  assert.strictEqual((await kv.get("n/a")).Session, ID);
  assert.strictEqual((await session.renew(ID))[0].ID, ID);
  assert.strictEqual((await session.list()).length, 1);
  await session.destroy(ID);
  assert.strictEqual((await kv.get("n/a")).Session, undefined);
  await kv.del({ key: "n/", recurse: true });
  assert.strictEqual(await kv.get("n/a"), undefined);
  await assert.rejects(agent.check.pass("none"), /not found/);
  await agent.service.deregister("api:1:x");
  assert.deepStrictEqual(await agent.service.list(), {});
  assert.ok((await consul.status.leader()).endsWith(":8300"));
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
