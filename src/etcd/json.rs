//! JSON to messages and back, by the names of `rpc.proto`. Pure.
//!
//! Numbers of 64 bits are text in JSON, and taken as numbers too; bytes are base64; enumerations go by name or number;
//! what is nothing is left out, and what is not known is passed over. The text of a fault is what etcd's users know.

use super::schema::{Field, Kind, SCHEMA, Schema};
use crate::base::json::kind_of;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{WireType, decode_varint, encode_varint};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Messages within messages; transactions are the only ones that go deep.
const DEPTH_MAX: usize = 100;

/// A message as it goes over the wire, of JSON.
pub(super) fn to_wire(message: &str, value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match value {
        Value::Null => {}
        value => put_message(&SCHEMA, message, value, &mut out, DEPTH_MAX)?,
    }
    Ok(out)
}

/// A message as JSON, of what goes over the wire.
pub(super) fn to_json(message: &str, wire: &[u8]) -> Result<String, String> {
    let mut out = String::new();
    show_message(&SCHEMA, message, wire, &mut out, DEPTH_MAX).map_err(str::to_owned)?;
    Ok(out)
}

fn mismatch(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", kind_of(value))
}

fn put_message(schema: &Schema, name: &str, value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    let Value::Object(found) = value else { return Err(mismatch(value, "map[string]json.RawMessage")) };
    let (Some(fields), Some(depth)) = (schema.messages.get(name), depth.checked_sub(1)) else {
        return Err(format!("{name} is nested too deep"));
    };
    for field in fields {
        let Some(value) = named(found, field) else { continue };
        match (field.repeated, value) {
            (_, Value::Null) => {}
            (false, value) => put_field(schema, field, value, out, depth)?,
            (true, Value::Array(values)) => {
                for value in values {
                    put_field(schema, field, value, out, depth)?;
                }
            }
            (true, value) => return Err(mismatch(value, "[]json.RawMessage")),
        }
    }
    Ok(())
}

fn named<'v>(found: &'v Map<String, Value>, field: &Field) -> Option<&'v Value> {
    found.get(&field.name).or_else(|| found.get(&field.camel()))
}

/// One value with its tag. Nothing is written out too: in a choice it says what was chosen.
fn put_field(schema: &Schema, field: &Field, value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    let tag = |kind: WireType, out: &mut Vec<u8>| encode_varint(u64::from(field.number) << 3 | kind as u64, out);
    let mut long = |bytes: &[u8]| {
        tag(WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.put_slice(bytes);
    };
    let number = match &field.kind {
        Kind::Message(name) => {
            let mut inner = Vec::new();
            put_message(schema, name, value, &mut inner, depth)?;
            long(&inner);
            return Ok(());
        }
        Kind::Bytes => {
            let text = value.as_str().ok_or_else(|| mismatch(value, "[]uint8"))?;
            long(&STANDARD.decode(text).map_err(|_| illegal_base64(text))?);
            return Ok(());
        }
        Kind::String => {
            long(value.as_str().ok_or_else(|| mismatch(value, "string"))?.as_bytes());
            return Ok(());
        }
        Kind::Bool => u64::from(value.as_bool().ok_or_else(|| mismatch(value, "bool"))?),
        Kind::Int64 => signed(value, "int64")? as u64,
        Kind::Uint64 => unsigned(value, "uint64")?,
        Kind::Uint32 => unsigned(value, "uint32")?,
        Kind::Enum(name) => enumerated(schema, name, value)?,
    };
    tag(WireType::Varint, out);
    encode_varint(number, out);
    Ok(())
}

fn illegal_base64(text: &str) -> String {
    let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    // Where the first sign stands that does not belong there; else the last four are not whole.
    let at = text.bytes().position(|b| !good(&b)).unwrap_or(text.len() / 4 * 4);
    format!("illegal base64 data at input byte {at}")
}

fn signed(value: &Value, kind: &str) -> Result<i64, String> {
    match value {
        Value::String(text) => text.parse().map_err(|_| bad_number(text)),
        value => value.as_i64().ok_or_else(|| mismatch(value, kind)),
    }
}

fn unsigned(value: &Value, kind: &str) -> Result<u64, String> {
    match value {
        Value::String(text) => text.parse().map_err(|_| bad_number(text)),
        value => value.as_u64().ok_or_else(|| mismatch(value, kind)),
    }
}

fn bad_number(text: &str) -> String {
    match text.chars().next() {
        Some(first) => format!("invalid character '{first}' looking for beginning of value"),
        None => "unexpected end of JSON input".to_owned(),
    }
}

fn enumerated(schema: &Schema, name: &str, value: &Value) -> Result<u64, String> {
    let known = schema.enums.get(name);
    let number = match value {
        Value::String(text) => {
            let found = known.and_then(|e| e.values.iter().find(|(value, _)| value == text));
            let full_name = known.map_or(name, |e| &e.full_name);
            found.map(|(_, n)| *n).ok_or_else(|| format!("unknown value {value} for enum etcdserverpb.{full_name}"))?
        }
        value => value.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| mismatch(value, "int32"))?,
    };
    Ok(i64::from(number) as u64)
}

/// What a field holds on the wire.
enum Found {
    Number(u64),
    Long(Bytes),
}

const BROKEN: &str = "a message is broken";

fn show_message(schema: &Schema, name: &str, wire: &[u8], out: &mut String, depth: usize) -> Result<(), &'static str> {
    let fields = schema.messages.get(name).ok_or(BROKEN)?;
    let depth = depth.checked_sub(1).ok_or(BROKEN)?;
    let found = take(wire)?;
    out.push('{');
    let mut first = true;
    for field in fields {
        let mut values = found.iter().filter(|(number, _)| *number == field.number).map(|(_, value)| value).peekable();
        if values.peek().is_none() {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        let _ = write!(out, "\"{}\":", field.name);
        if !field.repeated {
            let value = values.last().ok_or(BROKEN)?;
            show_value(schema, field, value, out, depth)?;
            continue;
        }
        out.push('[');
        for (i, value) in values.enumerate() {
            if i > 0 {
                out.push(',');
            }
            show_value(schema, field, value, out, depth)?;
        }
        out.push(']');
    }
    out.push('}');
    Ok(())
}

/// All fields of a message by their numbers.
fn take(wire: &[u8]) -> Result<Vec<(u32, Found)>, &'static str> {
    let mut left = Bytes::copy_from_slice(wire);
    let mut found = Vec::new();
    while left.has_remaining() {
        let tag = decode_varint(&mut left).map_err(|_| BROKEN)?;
        let number = u32::try_from(tag >> 3).map_err(|_| BROKEN)?;
        let value = match tag & 7 {
            0 => Found::Number(decode_varint(&mut left).map_err(|_| BROKEN)?),
            2 => {
                let len = decode_varint(&mut left).ok().and_then(|n| usize::try_from(n).ok()).ok_or(BROKEN)?;
                Found::Long((len <= left.len()).then(|| left.split_to(len)).ok_or(BROKEN)?)
            }
            // Our messages have no others.
            _ => return Err(BROKEN),
        };
        found.push((number, value));
    }
    Ok(found)
}

fn show_value(
    schema: &Schema,
    field: &Field,
    value: &Found,
    out: &mut String,
    depth: usize,
) -> Result<(), &'static str> {
    let text = |text: &str, out: &mut String| out.push_str(&Value::from(text).to_string());
    // A `String` can always be written to.
    let _ = match (&field.kind, value) {
        (Kind::Message(name), Found::Long(inner)) => return show_message(schema, name, inner, out, depth),
        (Kind::Bytes, Found::Long(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        (Kind::String, Found::Long(bytes)) => {
            text(std::str::from_utf8(bytes).map_err(|_| BROKEN)?, out);
            Ok(())
        }
        (Kind::Bool, Found::Number(n)) => write!(out, "{}", *n != 0),
        (Kind::Int64, Found::Number(n)) => write!(out, "\"{}\"", *n as i64),
        (Kind::Uint64, Found::Number(n)) => write!(out, "\"{n}\""),
        (Kind::Uint32, Found::Number(n)) => write!(out, "{n}"),
        (Kind::Enum(name), Found::Number(n)) => {
            let number = *n as i32;
            match schema.enums.get(name).and_then(|e| e.values.iter().find(|(_, value)| *value == number)) {
                Some((value, _)) => write!(out, "\"{value}\""),
                None => write!(out, "{number}"),
            }
        }
        _ => return Err(BROKEN),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::wire::{
        Compare, KeyValue, LeaseGrantRequest, RangeRequest, RangeResponse, Request, ResponseHeader, TargetUnion,
        TxnRequest, WatchCreateRequest,
    };
    use prost::Message;
    use serde_json::json;

    fn read<M: Message + Default>(message: &str, value: Value) -> M {
        M::decode(&to_wire(message, &value).unwrap()[..]).unwrap()
    }

    #[test]
    fn what_clients_write_is_read_however_they_write_it() {
        let both = [
            json!({ "key": "YQ==", "range_end": "Yg==", "limit": "5", "sort_order": "DESCEND", "keys_only": true, "x": [] }),
            json!({ "key": "YQ==", "rangeEnd": "Yg==", "limit": 5, "sortOrder": 2, "keysOnly": true, "revision": null }),
        ];
        for value in both {
            let range: RangeRequest = read("RangeRequest", value);
            assert_eq!(
                (&range.key[..], &range.range_end[..], range.limit, range.sort_order),
                (&b"a"[..], &b"b"[..], 5, 2)
            );
            assert!(range.keys_only);
        }
        let grant: LeaseGrantRequest =
            read("LeaseGrantRequest", json!({ "TTL": 5, "ID": 5_725_097_660_931_039_601_i64 }));
        assert_eq!((grant.ttl, grant.id), (5, 5_725_097_660_931_039_601));
        let grant: LeaseGrantRequest = read("LeaseGrantRequest", json!({ "TTL": "-5" }));
        assert_eq!(grant.ttl, -5);
        let txn: TxnRequest = read(
            "TxnRequest",
            json!({ "compare": [{ "key": "YQ==", "target": "CREATE", "create_revision": "0" }],
                    "success": [{ "requestPut": { "key": "YQ==" } }, {}] }),
        );
        assert_eq!(txn.compare[0].target_union, Some(TargetUnion::Created(0)), "nothing is a choice too");
        assert!(matches!(txn.success[0].request, Some(Request::Put(_))) && txn.success[1].request.is_none());
        let watch: WatchCreateRequest = read("WatchCreateRequest", json!({ "filters": ["NODELETE", "NOPUT"] }));
        assert_eq!(watch.filters, [1, 0]);
        let compare: Compare = read("Compare", Value::Null);
        assert_eq!(compare, Compare::default());
    }

    #[test]
    fn slips_are_told_as_etcd_tells_them() {
        let fault = |value: Value| to_wire("RangeRequest", &value).unwrap_err();
        assert_eq!(fault(json!([])), "json: cannot unmarshal array into Go value of type map[string]json.RawMessage");
        assert_eq!(fault(json!({ "key": 5 })), "json: cannot unmarshal number into Go value of type []uint8");
        assert_eq!(fault(json!({ "key": "YQ" })), "illegal base64 data at input byte 0");
        assert_eq!(fault(json!({ "limit": "x" })), "invalid character 'x' looking for beginning of value");
        let unknown = "unknown value \"FOO\" for enum etcdserverpb.RangeRequest_SortOrder";
        assert_eq!(fault(json!({ "sort_order": "FOO" })), unknown);
        let mut deep = json!({});
        for _ in 0..200 {
            deep = json!({ "success": [{ "request_txn": deep }] });
        }
        assert!(to_wire("TxnRequest", &deep).unwrap_err().contains("too deep"));
    }

    #[test]
    fn answers_leave_out_what_is_nothing() {
        let header = Some(ResponseHeader { cluster_id: u64::MAX, revision: -1, ..Default::default() });
        let kv = KeyValue { key: "a\"".into(), lease: 1 << 60, ..Default::default() };
        let answer = RangeResponse { header, kvs: vec![kv, KeyValue::default()], more: true, count: 0 };
        assert_eq!(
            to_json("RangeResponse", &answer.encode_to_vec()).unwrap(),
            "{\"header\":{\"cluster_id\":\"18446744073709551615\",\"revision\":\"-1\"},\
             \"kvs\":[{\"key\":\"YSI=\",\"lease\":\"1152921504606846976\"},{}],\"more\":true}"
        );
        assert_eq!(to_json("RangeResponse", &[]).unwrap(), "{}");
        assert!(to_json("RangeResponse", &[0xff]).is_err());
    }
}
