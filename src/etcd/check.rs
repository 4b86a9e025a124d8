//! What can be said of a request before it is looked at what is there: etcd's checks in etcd's order. Pure.

use super::{
    refusal::{
        DUPLICATE_KEY, EMPTY_KEY, KEY_NOT_FOUND, LEASE_PROVIDED, Refusal, TOO_LARGE, TOO_MANY_OPS, VALUE_PROVIDED,
    },
    wire::{DeleteRangeRequest, PutRequest, RangeRequest, Request, RequestOp, TxnRequest},
};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeSet;

/// Operations of one branch of a transaction, those that it is nested in counted in.
const OPS_MAX: usize = 128;
/// The longest request that writes.
const REQUEST_BYTES_MAX: usize = 1_536 << 10;

pub(super) fn range(request: &RangeRequest) -> Result<(), Refusal> {
    key(&request.key)
}

pub(super) fn delete(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    key(&request.key)
}

pub(super) fn put(request: &PutRequest) -> Result<(), Refusal> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(LEASE_PROVIDED);
    }
    Ok(())
}

pub(super) fn txn(request: &TxnRequest) -> Result<(), Refusal> {
    operations(request, OPS_MAX)?;
    intervals(&request.success)?;
    intervals(&request.failure)?;
    Ok(())
}

/// Whether a request that writes is too long.
pub(super) fn size(request: &impl Message) -> Result<(), Refusal> {
    if request.encoded_len() > REQUEST_BYTES_MAX { Err(TOO_LARGE) } else { Ok(()) }
}

fn key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() { Err(EMPTY_KEY) } else { Ok(()) }
}

fn operations(txn: &TxnRequest, ops_max: usize) -> Result<(), Refusal> {
    let most = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let Some(left) = ops_max.checked_sub(most) else { return Err(TOO_MANY_OPS) };
    for compare in &txn.compare {
        key(&compare.key)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Request::Range(request)) => range(request)?,
            Some(Request::Put(request)) => put(request)?,
            Some(Request::DeleteRange(request)) => delete(request)?,
            Some(Request::Txn(request)) => operations(request, left)?,
            None => return Err(KEY_NOT_FOUND),
        }
    }
    Ok(())
}

/// Where deletes reach: from a key up to and without another; no end is no bound. One that ends before it begins
/// covers nothing, and so does `key` to `\0`, though it deletes all from `key` on: such a delete beside a put is let
/// through, as etcd does.
type Interval = (Bytes, Option<Bytes>);

fn covers((begin, end): &Interval, key: &[u8]) -> bool {
    key >= &begin[..] && end.as_ref().is_none_or(|end| key < &end[..])
}

/// Fails where one branch writes a key twice. What is put and what is deleted in it.
fn intervals(ops: &[RequestOp]) -> Result<(BTreeSet<Bytes>, Vec<Interval>), Refusal> {
    let mut deletes: Vec<Interval> = Vec::new();
    for op in ops {
        let Some(Request::DeleteRange(DeleteRangeRequest { key, range_end, .. })) = &op.request else { continue };
        let end = match range_end.is_empty() {
            true => [key, &b"\0"[..]].concat().into(),
            false => range_end.clone(),
        };
        deletes.push((key.clone(), Some(end)));
    }
    let mut puts: BTreeSet<Bytes> = BTreeSet::new();
    // `beside`: what is put where this is not.
    let add = |puts: &mut BTreeSet<Bytes>, deletes: &[Interval], key: &Bytes, beside: &BTreeSet<Bytes>| {
        let is_twice = puts.contains(key) && !beside.contains(key);
        if is_twice || deletes.iter().any(|interval| covers(interval, key)) {
            return Err(DUPLICATE_KEY);
        }
        puts.insert(key.clone());
        Ok(())
    };
    for op in ops {
        let Some(Request::Txn(nested)) = &op.request else { continue };
        let (then, deletes_then) = intervals(&nested.success)?;
        let (other, deletes_other) = intervals(&nested.failure)?;
        for key in &then {
            add(&mut puts, &deletes, key, &BTreeSet::new())?;
        }
        for key in &other {
            add(&mut puts, &deletes, key, &then)?;
        }
        deletes.extend(deletes_then);
        deletes.extend(deletes_other);
    }
    for op in ops {
        if let Some(Request::Put(request)) = &op.request {
            add(&mut puts, &deletes, &request.key, &BTreeSet::new())?;
        }
    }
    Ok((puts, deletes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn put_of(key: &'static str) -> RequestOp {
        op(Request::Put(PutRequest { key: key.into(), ..PutRequest::default() }))
    }

    fn delete_of(key: &'static str, range_end: &'static str) -> RequestOp {
        let (key, range_end) = (key.into(), range_end.into());
        op(Request::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv: false }))
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        op(Request::Txn(TxnRequest { success, failure, ..TxnRequest::default() }))
    }

    fn verdict(success: Vec<RequestOp>) -> Result<(), Refusal> {
        txn(&TxnRequest { success, ..TxnRequest::default() })
    }

    #[test]
    fn a_key_is_written_once_a_branch_as_etcd_sees_it() {
        let twice = Err(DUPLICATE_KEY);
        assert_eq!(verdict(vec![put_of("a"), put_of("a")]), twice);
        assert_eq!(verdict(vec![put_of("b"), delete_of("a", "c")]), twice);
        assert_eq!(verdict(vec![delete_of("b", ""), put_of("b")]), twice);
        assert_eq!(verdict(vec![delete_of("b", ""), put_of("b\0")]), Ok(()));
        assert_eq!(verdict(vec![delete_of("a", "c"), delete_of("a", "c"), put_of("c")]), Ok(()));
        assert_eq!(verdict(vec![delete_of("a", "\0"), put_of("b")]), Ok(()), "its own oddity");
        assert_eq!(verdict(vec![nested(vec![put_of("a")], vec![put_of("a")])]), Ok(()), "only one of them is");
        assert_eq!(verdict(vec![nested(vec![put_of("a")], vec![]), put_of("a")]), twice);
        assert_eq!(verdict(vec![nested(vec![delete_of("a", "")], vec![]), put_of("a")]), twice);
        assert_eq!(verdict(vec![nested(vec![put_of("a")], vec![]), nested(vec![], vec![put_of("a")])]), twice);
        let both = TxnRequest { success: vec![put_of("a")], failure: vec![put_of("a")], ..TxnRequest::default() };
        assert_eq!(txn(&both), Ok(()));
    }

    #[test]
    fn operations_are_counted_with_those_around_them() {
        let many =
            |n: usize| (0..n).map(|_| op(Request::Range(RangeRequest { key: "a".into(), ..Default::default() })));
        assert_eq!(verdict(many(128).collect()), Ok(()));
        assert_eq!(verdict(many(129).collect()), Err(TOO_MANY_OPS));
        assert_eq!(verdict(many(10_000).collect()), Err(TOO_MANY_OPS));
        let around = |n| verdict(many(100).chain([nested(many(n).collect(), vec![])]).collect());
        assert_eq!((around(27), around(28)), (Ok(()), Err(TOO_MANY_OPS)));
        assert_eq!(verdict(vec![RequestOp { request: None }]), Err(KEY_NOT_FOUND));
        assert_eq!(verdict(vec![put_of("")]), Err(EMPTY_KEY));
    }
}
