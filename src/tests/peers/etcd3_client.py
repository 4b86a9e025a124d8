"""The PyPI client etcd3 on a node. Arguments: host, port."""

import sys
import threading

import etcd3

client = etcd3.client(host=sys.argv[1], port=int(sys.argv[2]), timeout=30)

client.put("a/1", "x")
client.put("a/2", "y")
value, meta = client.get("a/1")
assert (value, meta.version) == (b"x", 1), (value, meta)
assert [v for v, _ in client.get_prefix("a/")] == [b"x", b"y"]
assert [m.key for _, m in client.get_range("a/1", "a/9", sort_order="descend")] == [b"a/2", b"a/1"]
assert client.get("missing") == (None, None)
assert client.put_if_not_exists("a/1", "z") is False
assert client.replace("a/1", "x", "z") is True
assert client.get("a/1")[0] == b"z"
done, answers = client.transaction(
    compare=[client.transactions.value("a/1") == "z", client.transactions.version("a/1") > 0],
    success=[client.transactions.put("a/3", "t"), client.transactions.get("a/1"), client.transactions.delete("a/2")],
    failure=[client.transactions.put("a/3", "f")],
)
assert done and answers[1][0][0] == b"z", (done, answers)
assert client.get("a/2") == (None, None)

# A watch hears of what comes, and of nothing that is not its own.
heard, enough = [], threading.Event()


def hear(response):
    heard.extend((type(e).__name__, e.key, e.value) for e in response.events)
    if len(heard) >= 3:
        enough.set()


watch = client.add_watch_callback("w/", hear, range_end="w0")
client.put("w/1", "1")
client.put("v", "no")
client.put("w/1", "2")
client.delete("w/1")
assert enough.wait(30), heard
assert heard == [("PutEvent", b"w/1", b"1"), ("PutEvent", b"w/1", b"2"), ("DeleteEvent", b"w/1", b"")], heard
client.cancel_watch(watch)

lease = client.lease(60)
client.put("leased", "x", lease=lease)
assert lease.remaining_ttl > 50 and list(lease.keys) == [b"leased"], (lease.remaining_ttl, lease.keys)
assert lease.refresh()[0].TTL == 60
lease.revoke()
assert client.get("leased") == (None, None)

with client.lock("held", ttl=30) as lock:
    assert lock.is_acquired()
    assert client.get("/locks/held")[0] is not None
assert client.get("/locks/held") == (None, None)

assert client.status().version == "3.4.23"
assert len(list(client.members)) == 1
assert list(client.list_alarms()) == []
client.compact(3)
client.defragment()
assert client.delete_prefix("a/").deleted == 2
client.close()
print("all is well")
