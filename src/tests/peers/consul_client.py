"""A PyPI client of Consul on a node: python-consul, python-consul2 or py-consul. Arguments: host, port of the API, and the
address of something that takes connections, as host:port."""

import sys
import threading

import consul

client = consul.Consul(host=sys.argv[1], port=int(sys.argv[2]))
peer = sys.argv[3]
agent, catalog, health = client.agent, client.catalog, client.health
Check = consul.Check

# Who is asked.
itself = agent.self()
node = itself["Config"]["NodeName"]
assert itself["Config"]["Datacenter"] == "dc1", itself
assert agent.members()[0]["Name"] == node
assert client.status.leader().endswith(":8300")
assert client.status.peers() == [client.status.leader()]
assert catalog.datacenters() == ["dc1"]

# A service with a ttl comes, is told of, and goes.
assert agent.service.register("web", service_id="web-1", address="10.0.0.1", port=80, tags=["b", "a"], check=Check.ttl("60s"))
own = agent.services()["web-1"]
assert (own["Service"], own["Port"], own["Tags"]) == ("web", 80, ["b", "a"]), own
index, found = health.service("web")
assert int(index) > 0 and found[0]["Checks"][-1]["Status"] == "critical", found
assert health.service("web", passing=True)[1] == []
assert agent.check.ttl_pass("service:web-1", notes="fine")
index, found = health.service("web", passing=True, tag="a")
assert [f["Service"]["ID"] for f in found] == ["web-1"], found
assert found[0]["Checks"][-1]["Output"] == "fine", found
assert agent.check.ttl_warn("service:web-1")
assert [c["CheckID"] for c in health.state("warning")[1]] == ["service:web-1"]
assert agent.check.ttl_fail("service:web-1")
assert agent.checks()["service:web-1"]["Status"] == "critical"
assert agent.check.ttl_pass("service:web-1")

# Somebody waits for news, which come from elsewhere.
index, _ = health.service("web", passing=True)
heard = []


def wait():
    other = consul.Consul(host=sys.argv[1], port=int(sys.argv[2]))
    heard.append(other.health.service("web", passing=True, index=index, wait="30s"))


waiting = threading.Thread(target=wait)
waiting.start()
assert agent.service.register("web", service_id="web-2", address="10.0.0.2", port=80)
waiting.join(60)
assert int(heard[0][0]) > int(index) and len(heard[0][1]) == 2, heard
same, _ = health.service("web", passing=True, index=heard[0][0], wait="1s")
assert same == heard[0][0], "nothing came"

# Looks.
assert agent.service.register("seen", port=int(peer.rsplit(":", 1)[1]), address="127.0.0.1", check=Check.tcp("127.0.0.1", int(peer.rsplit(":", 1)[1]), "1s"))
index = None
while not health.service("seen", passing=True)[1]:
    index, _ = health.service("seen", index=index, wait="5s")
assert agent.check.register("extra", check=Check.ttl("60s"), service_id="web-2")
assert len(health.service("web", passing=True)[1]) == 1
assert agent.check.deregister("extra")
assert len(health.checks("web")[1]) == 1

# Taken out for a while.
assert agent.service.maintenance("web-2", "true", reason="moving")
assert [f["Service"]["ID"] for f in health.service("web", passing=True)[1]] == ["web-1"]
assert agent.service.maintenance("web-2", "false")
assert agent.maintenance("true")
assert health.service("web", passing=True)[1] == []
assert agent.maintenance("false")
assert len(health.service("web", passing=True)[1]) == 2

# The catalog.
assert set(catalog.services()[1]) == {"consul", "seen", "web"}, catalog.services()
assert len(catalog.service("web", tag="a")[1]) == 1
assert catalog.register("far", "10.1.0.1", service={"service": "db", "id": "db-1", "port": 5432})
assert [n["Node"] for n in catalog.nodes()[1]] == sorted(["far", node])
assert catalog.node("far")[1]["Services"]["db-1"]["Port"] == 5432
assert catalog.node("none")[1] is None
assert catalog.deregister("far")
assert catalog.service("db")[1] == []
assert {c["CheckID"] for c in health.node(node)[1]} >= {"serfHealth", "service:web-1"}

# Keys: by one, by many, raw numbers, compare and set.
kv = client.kv
assert kv.put("app/mode", "on", flags=2**53 + 1) is True
index, found = kv.get("app/mode")
assert (found["Value"], found["Flags"], found["LockIndex"]) == (b"on", 2**53 + 1, 0), found
assert kv.put("app/mode", "off", cas=0) is False
assert kv.put("app/mode", "off", cas=found["ModifyIndex"]) is True
assert kv.put("app/ü b", b"\x00\xff") is True
assert kv.get("app/ü b")[1]["Value"] == b"\x00\xff"
assert [f["Key"] for f in kv.get("app/", recurse=True)[1]] == ["app/mode", "app/ü b"]
assert kv.get("app/", keys=True)[1] == ["app/mode", "app/ü b"]
# The services above are keys as well.
assert kv.get("", keys=True, separator="/")[1] == ["app/", "bmi/"]
index, none = kv.get("none")
assert none is None
heard.clear()


def wait_for_key():
    other = consul.Consul(host=sys.argv[1], port=int(sys.argv[2]))
    heard.append(other.kv.get("none", index=index, wait="30s"))


waiting = threading.Thread(target=wait_for_key)
waiting.start()
assert kv.put("none", "now") is True
waiting.join(60)
assert heard[0][1]["Value"] == b"now", heard
assert kv.delete("app/", recurse=True) is True
assert kv.get("app/", recurse=True)[1] is None

# Sessions hold keys, one at a time.
session = client.session
one, two = session.create("one", ttl=60, lock_delay=0), session.create(behavior="delete", lock_delay=0)
assert kv.put("lock", "1", acquire=one) is True
assert kv.put("lock", "2", acquire=two) is False
assert kv.get("lock")[1]["Session"] == one
assert session.renew(one)["ID"] == one
assert session.info(one)[1]["Name"] == "one"
assert {s["ID"] for s in session.list()[1]} == {one, two} == {s["ID"] for s in session.node(node)[1]}
assert kv.put("lock", "3", release=one) is True
assert kv.put("lock", "4", acquire=two) is True
assert session.destroy(two) is True
assert kv.get("lock")[1] is None
assert session.destroy(one) is True
try:
    session.renew(one)
    raise SystemExit("it went through")
except consul.NotFound:
    pass

# All or nothing.
done = client.txn.put([{"KV": {"Verb": "set", "Key": "t", "Value": "eA=="}}, {"KV": {"Verb": "get", "Key": "t"}}])
assert done["Results"][1]["KV"]["Value"] == "eA==", done
assert kv.delete("t") and kv.delete("none")
event = client.event.fire("deploy", "body")
assert [e["ID"] for e in client.event.list("deploy")[1]][-1] == (event if isinstance(event, str) else event["ID"])

# What is not there is told as that, which is how clients learn to register again.
assert not agent.check.ttl_pass("none")
assert not agent.service.maintenance("none", "true")
try:
    session.create(ttl=5)
    raise SystemExit("it went through")
except (ValueError, AssertionError, consul.ConsulException):
    pass

for service_id in ("web-1", "web-2", "seen"):
    assert agent.service.deregister(service_id)
assert agent.services() == {}
print("all is well")
