//! Upgrades that fail and tables that change, again and again: memory stays as it is.

use super::{
    number,
    origin::{Origin, ok},
    site::{Site, route},
};
use crate::base::TaskGroup;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Clients that want another protocol, at once.
const CLIENTS: u64 = 16;
/// What is allocated may grow by so much between the first tenth and the end.
const GROWTH_BYTES_MAX: u64 = 4 << 20;
/// And by what the registry keeps of its past, which is bounded.
const GROWTH_BYTES_PER_SWAP: u64 = 1 << 10;
/// Memory of its own may grow by what an allocator keeps beside that.
const KEPT_BYTES_MAX: u64 = 24 << 20;
const LOOSE_MAX: u64 = 12;

/// In all the ways in which it can fail: refused, answered as if nothing had been asked, closed, granted to another.
fn refuse(head: &str) -> Vec<u8> {
    match head.split(' ').nth(1).unwrap_or_default() {
        "/ws/0" => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        "/ws/1" => ok("no"),
        "/ws/2" => Vec::new(),
        "/ws/3" => b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
}

async fn upgrades(site: &Site, from: u64, to: u64) {
    let mut client = site.connect().await;
    for n in from..to {
        let ask = format!(
            "GET /ws/{} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            n % 5
        );
        let status = client.ask(&ask).await.map_or(0, |(status, _)| status);
        let wanted = [403, 200, 502, 502, 426][usize::try_from(n % 5).unwrap()];
        assert_eq!(status, wanted, "{n}");
        if n % 7 == 0 {
            client = site.connect().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_upgrades_and_changes_of_tables_leave_memory_as_it_was() {
    let (wanted, swaps) = (number("HOLD_UPGRADES", 3_000), number("HOLD_SWAPS", 300));
    // What fails on purpose takes no instance out: there is one, and never the last one.
    let more = route("ws", "/ws/", "ws") + "retries = 0\n" + &route("other", "/other/", "other");
    let site = Site::start("workers = 2", &more).await;
    let tasks = TaskGroup::new();
    let origin = Origin::new(0, &tasks, Arc::new(refuse)).await;
    site.register("ws", "a", origin.address).await;
    let turns = AtomicU64::new(0);
    let run = async |wanted: u64, swaps: u64| {
        let changing = async {
            for _ in 0..swaps {
                // Each is one table: the next is asked for when it serves.
                let turn = turns.fetch_add(1, Relaxed);
                match turn % 3 {
                    2 => site.deregister("other", "0").await,
                    turn => site.register("other", "0", ([127, 0, 0, 1], 1000 + turn as u16).into()).await,
                }
            }
        };
        let share = wanted / CLIENTS;
        let asking = (0..CLIENTS).map(|_| upgrades(&site, 0, share));
        tokio::join!(futures_util::future::join_all(asking), changing);
        site.until_nobody_is_connected().await;
    };
    run(wanted / 10, swaps / 10).await;
    let before = site.metric("skyvis_proxy_tables_total ").await;
    let warm = site.usage().await;
    run(wanted - wanted / 10, swaps - swaps / 10).await;
    let after = site.usage().await;
    let made = site.metric("skyvis_proxy_tables_total ").await - before;
    println!("hold: {wanted} upgrades failed over {swaps} changes\nhold: warm {warm}\nhold: after {after}");
    assert!(made >= (swaps - swaps / 10) as f64, "{made} tables");
    assert_eq!(site.metric("skyvis_proxy_tunnels ").await, 0.0);
    let growth = GROWTH_BYTES_MAX + swaps * GROWTH_BYTES_PER_SWAP;
    assert!(after.heap.bytes <= warm.heap.bytes + growth, "{warm:?} grew to {after:?}");
    assert!(after.own_bytes <= warm.own_bytes + growth + KEPT_BYTES_MAX, "{warm:?} grew to {after:?}");
    assert!(after.tasks <= warm.tasks + LOOSE_MAX, "{warm:?} grew to {after:?}");
    assert!(after.open_fds <= warm.open_fds + LOOSE_MAX, "{warm:?} grew to {after:?}");
    tasks.stop(Duration::from_secs(5)).await;
    site.stop().await;
}
