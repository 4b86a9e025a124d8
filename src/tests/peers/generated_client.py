"""A client that protoc makes of our own rpc.proto, on a node. Arguments: host, port, the text, a directory for what is made."""

import pathlib
import shutil
import sys

import grpc
from grpc_tools import protoc

host, port, text, made = sys.argv[1:5]
shutil.copy(text, pathlib.Path(made) / "rpc.proto")
outcome = protoc.main(["protoc", f"-I{made}", f"--python_out={made}", f"--grpc_python_out={made}", "rpc.proto"])
assert outcome == 0, "protoc does not take our text"
sys.path.insert(0, made)
import rpc_pb2 as pb  # noqa: E402
import rpc_pb2_grpc as services  # noqa: E402

channel = grpc.insecure_channel(f"{host}:{port}")
kv, leases, watch = services.KVStub(channel), services.LeaseStub(channel), services.WatchStub(channel)
first = kv.Put(pb.PutRequest(key=b"k", value=b"v"), timeout=30)
assert first.header.revision == 2, first
put = pb.RequestOp(request_put=pb.PutRequest(key=b"k", value=b"w", prev_kv=True))
compare = pb.Compare(key=b"k", target=pb.Compare.VALUE, value=b"v", result=pb.Compare.EQUAL)
done = kv.Txn(pb.TxnRequest(compare=[compare], success=[put]), timeout=30)
assert done.succeeded and done.responses[0].response_put.prev_kv.value == b"v", done
found = kv.Range(pb.RangeRequest(key=b"k", revision=2), timeout=30)
assert (found.count, found.kvs[0].value) == (1, b"v"), found
granted = leases.LeaseGrant(pb.LeaseGrantRequest(TTL=60, ID=5), timeout=30)
assert (granted.ID, granted.TTL) == (5, 60), granted
asked = iter([pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k", start_revision=2, prev_kv=True))])
answers = watch.Watch(asked, timeout=30)
assert next(answers).created
events = []
while len(events) < 2:
    events.extend(next(answers).events)
assert [e.kv.value for e in events] == [b"v", b"w"] and events[1].prev_kv.value == b"v", events
answers.cancel()
try:
    kv.Range(pb.RangeRequest(), timeout=30)
    raise SystemExit("a range of nothing was answered")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    assert error.details() == "etcdserver: key is not provided", error
member = services.ClusterStub(channel).MemberList(pb.MemberListRequest(), timeout=30).members[0]
assert services.MaintenanceStub(channel).Status(pb.StatusRequest(), timeout=30).leader == member.ID
print("all is well")
