//! Keys: ranges, puts, deletes, transactions, compaction.

use super::{
    check,
    node::{Node, signed},
    range::{choose, keys, pair, query},
    refusal::{NO_LEASE, of, refuse},
    wire::{
        Answer, CompactionRequest, CompactionResponse, Compare as WireCompare, DeleteRangeRequest, DeleteRangeResponse,
        PutRequest, PutResponse, RangeRequest, RangeResponse, Request, RequestOp, ResponseHeader, ResponseOp,
        TargetUnion, TxnRequest, TxnResponse,
    },
};
use crate::registry::{Compare, Comparison, Error, Op, OpAnswer, Ranged, Target, Txn, TxnAnswer, When};
use bytes::Bytes;
use tonic::Status;

impl Node {
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        check::range(&request).map_err(refuse)?;
        let found = self.registry.range(&query(&request)).map_err(|e| of(&e))?;
        let header = self.header_at(found.revision);
        Ok(RangeResponse { header, ..ranged(&request, found) })
    }

    pub async fn put(&self, request: PutRequest) -> Result<PutResponse, Status> {
        check::put(&request).and_then(|()| check::size(&request)).map_err(refuse)?;
        let done = match self.registry.txn(Txn { success: vec![put(&request)], ..Txn::default() }).await {
            Ok(done) => done,
            // A put by itself is asked for its lease first, one of a transaction for its key.
            Err(Error::NoKey(_)) if request.lease != 0 && self.registry.lease(request.lease).await.is_err() => {
                return Err(refuse(NO_LEASE));
            }
            Err(error) => return Err(of(&error)),
        };
        let header = self.header_at(done.revision);
        match done.answers.into_iter().next() {
            Some(OpAnswer::Put { before, .. }) => {
                let prev_kv = before.filter(|_| request.prev_kv).map(|entry| pair(request.key, &entry));
                Ok(PutResponse { header, prev_kv })
            }
            _ => Err(Status::internal("a put was not answered as one")),
        }
    }

    pub async fn delete_range(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
        check::delete(&request).and_then(|()| check::size(&request)).map_err(refuse)?;
        let done = self.run(Txn { success: vec![delete(&request)], ..Txn::default() }).await?;
        let header = self.header_at(done.revision);
        match done.answers.into_iter().next() {
            Some(answer @ OpAnswer::Delete(_)) => Ok(DeleteRangeResponse { header, ..deleted(&request, answer) }),
            _ => Err(Status::internal("a delete was not answered as one")),
        }
    }

    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        check::txn(&request).map_err(refuse)?;
        if writes(&request) {
            check::size(&request).map_err(refuse)?;
        }
        let done = self.run(txn(&request)).await?;
        let header = self.header_at(done.revision);
        let wrote = done.answers.iter().any(wrote);
        let mut writer = Answers { before: done.revision - u64::from(wrote), wrote: false };
        let responses = writer.all(branch(&request, done.succeeded), done.answers);
        Ok(TxnResponse { header, succeeded: done.succeeded, responses })
    }

    pub async fn compact(&self, request: CompactionRequest) -> Result<CompactionResponse, Status> {
        // Nothing lies before the first revision.
        let revision = u64::try_from(request.revision).unwrap_or(0);
        self.registry.compact(revision).await.map_err(|e| of(&e))?;
        Ok(CompactionResponse { header: self.header() })
    }

    async fn run(&self, txn: Txn) -> Result<TxnAnswer, Status> {
        self.registry.txn(txn).await.map_err(|e| of(&e))
    }
}

fn put(request: &PutRequest) -> Op {
    let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    Op::Put {
        key: own(&request.key),
        value: (!request.ignore_value).then(|| own(&request.value)),
        lease: (!request.ignore_lease).then_some(request.lease),
        when: When::Always,
    }
}

fn delete(request: &DeleteRangeRequest) -> Op {
    Op::Delete(keys(&request.key, &request.range_end))
}

fn txn(request: &TxnRequest) -> Txn {
    let op = |op: &RequestOp| match &op.request {
        Some(Request::Range(request)) => Some(Op::Range(query(request))),
        Some(Request::Put(request)) => Some(put(request)),
        Some(Request::DeleteRange(request)) => Some(delete(request)),
        Some(Request::Txn(request)) => Some(Op::Txn(txn(request))),
        // Refused before.
        None => None,
    };
    Txn {
        compares: request.compare.iter().map(compare).collect(),
        success: request.success.iter().filter_map(op).collect(),
        failure: request.failure.iter().filter_map(op).collect(),
    }
}

fn compare(compare: &WireCompare) -> Compare {
    // What is not said is nothing, or what the protocol takes for it.
    let number = |of: fn(&TargetUnion) -> Option<i64>| compare.target_union.as_ref().and_then(of).unwrap_or(0);
    let target = match compare.target {
        1 => Target::Created(number(|u| if let TargetUnion::Created(n) = u { Some(*n) } else { None })),
        2 => Target::Modified(number(|u| if let TargetUnion::Modified(n) = u { Some(*n) } else { None })),
        3 => Target::Value(match &compare.target_union {
            Some(TargetUnion::Value(value)) => Bytes::copy_from_slice(value),
            _ => Bytes::new(),
        }),
        4 => Target::Lease(number(|u| if let TargetUnion::Lease(n) = u { Some(*n) } else { None })),
        _ => Target::Version(number(|u| if let TargetUnion::Version(n) = u { Some(*n) } else { None })),
    };
    let is = match compare.result {
        1 => Comparison::Greater,
        2 => Comparison::Less,
        3 => Comparison::NotEqual,
        _ => Comparison::Equal,
    };
    Compare { keys: keys(&compare.key, &compare.range_end), target, is }
}

/// Whether a transaction may write anything.
fn writes(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).any(|op| match &op.request {
        Some(Request::Put(_) | Request::DeleteRange(_)) => true,
        Some(Request::Txn(request)) => writes(request),
        Some(Request::Range(_)) | None => false,
    })
}

/// Whether an operation changed anything.
fn wrote(answer: &OpAnswer) -> bool {
    match answer {
        OpAnswer::Put { .. } => true,
        OpAnswer::Delete(gone) => !gone.is_empty(),
        OpAnswer::Txn(_, answers) => answers.iter().any(wrote),
        OpAnswer::Range(_) => false,
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &request.success } else { &request.failure }
}

fn ranged(request: &RangeRequest, found: Ranged) -> RangeResponse {
    let count = signed(found.count as u64);
    let (kvs, more) = match request.count_only {
        true => (Vec::new(), false),
        false => choose(request, found.entries),
    };
    RangeResponse { header: None, kvs, more, count }
}

fn deleted(request: &DeleteRangeRequest, answer: OpAnswer) -> DeleteRangeResponse {
    let OpAnswer::Delete(gone) = answer else { return DeleteRangeResponse::default() };
    let deleted = signed(gone.len() as u64);
    let prev_kvs = match request.prev_kv {
        true => gone.into_iter().map(|(key, entry)| pair(key, &entry)).collect(),
        false => Vec::new(),
    };
    DeleteRangeResponse { header: None, deleted, prev_kvs }
}

/// The answers of a transaction's operations, whose headers tell the revision as of each.
struct Answers {
    before: u64,
    wrote: bool,
}

impl Answers {
    fn all(&mut self, ops: &[RequestOp], answers: Vec<OpAnswer>) -> Vec<ResponseOp> {
        let answered = ops.iter().zip(answers).map(|(op, answer)| {
            self.wrote |= !matches!(answer, OpAnswer::Txn(..)) && wrote(&answer);
            ResponseOp { response: op.request.as_ref().map(|request| self.one(request, answer)) }
        });
        answered.collect()
    }

    fn one(&mut self, request: &Request, answer: OpAnswer) -> Answer {
        let revision = signed(self.before + u64::from(self.wrote));
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        match (request, answer) {
            (Request::Range(request), OpAnswer::Range(found)) => {
                let header = Some(ResponseHeader { revision: signed(found.revision), ..ResponseHeader::default() });
                Answer::Range(RangeResponse { header, ..ranged(request, found) })
            }
            (Request::Put(request), OpAnswer::Put { before, .. }) => {
                let prev_kv = before.filter(|_| request.prev_kv).map(|entry| pair(request.key.clone(), &entry));
                Answer::Put(PutResponse { header, prev_kv })
            }
            (Request::Txn(request), OpAnswer::Txn(succeeded, answers)) => {
                let header = Some(ResponseHeader::default());
                let responses = self.all(branch(request, succeeded), answers);
                Answer::Txn(TxnResponse { header, succeeded, responses })
            }
            (Request::DeleteRange(request), answer) => {
                Answer::DeleteRange(DeleteRangeResponse { header, ..deleted(request, answer) })
            }
            // The registry answers each operation as what it is.
            _ => Answer::Txn(TxnResponse::default()),
        }
    }
}
