"""The PyPI client etcd3-py, by the JSON gateway, on a node. Arguments: host, port."""

import sys
import threading

from etcd3 import Client

client = Client(sys.argv[1], int(sys.argv[2]))
assert client.version()["etcdserver"] if isinstance(client.version(), dict) else client.version(), client.version()

client.put("a/1", "x")
client.put("a/2", "y")
found = client.range("a/", prefix=True)
assert [(kv.key, kv.value) for kv in found.kvs] == [(b"a/1", b"x"), (b"a/2", b"y")], found
assert client.range("a/1", keys_only=True).kvs[0].key == b"a/1"
assert client.put("a/1", "z", prev_kv=True).prev_kv.value == b"x"

txn = client.Txn()
txn.compare(txn.key("a/1").value == b"z")
txn.success(txn.put("a/3", "t"))
txn.success(txn.range("a/1"))
txn.failure(txn.put("a/3", "f"))
done = txn.commit()
assert done.succeeded, done
assert client.range("a/3").kvs[0].value == b"t"

try:
    client.range("a/1", revision=10_000)
    raise SystemExit("a revision to come was answered")
except Exception as error:
    assert "required revision is a future revision" in str(error), error

lease = client.Lease(ttl=60)
lease.grant()
client.put("leased", "x", lease=lease.ID)
assert lease.time_to_live(keys=True).keys == [b"leased"], lease.time_to_live(keys=True)
lease.keepalive_once()
lease.revoke()
assert not client.range("leased").kvs

heard, enough = [], threading.Event()


def hear(event):
    heard.append((event.key, event.value))
    if len(heard) == 2:
        enough.set()


watcher = client.Watcher(key="w/", prefix=True)
watcher.onEvent(hear)
watcher.runDaemon()
watcher_ready = threading.Event()
while not watcher.watching:
    watcher_ready.wait(0.01)
client.put("w/1", "1")
client.put("w/2", "2")
assert enough.wait(30), heard
assert heard == [(b"w/1", b"1"), (b"w/2", b"2")], heard
watcher.stop()

assert len(client.member_list().members) == 1
assert int(client.delete_range("a/", prefix=True).deleted) == 3
client.close()
print("all is well")
