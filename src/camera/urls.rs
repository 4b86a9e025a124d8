//! The table of media URLs: one row per channel, its main stream. Pure: what is there and the time go in.
//!
//! A channel that goes offline or is deleted keeps its row for a while, so that who reads the table does not lose a
//! camera to one lost poll; then the row ages out. A URL that changed replaces the old one at once.

use super::MediaUrl;
use crate::{base::Wall, model::Presence};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A channel as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Where its main stream is fetched.
    pub url: String,
    /// Is it there?
    pub presence: Presence,
    /// The task that fetches it; empty: none does.
    pub task: String,
    /// It is not there because it saves power; its row does not age.
    pub asleep: bool,
}

/// Device and channel.
pub(super) type RowKey = (String, u32);

struct Row {
    seen: Seen,
    updated: Wall,
    gone_since: Option<Instant>,
}

/// The table.
#[derive(Default)]
pub(super) struct Urls {
    rows: BTreeMap<RowKey, Row>,
}

impl Urls {
    /// Brings the table up to what is there `now`.
    pub(super) fn update(&mut self, seen: BTreeMap<RowKey, Seen>, age_out: Duration, now: Instant, wall: Wall) {
        for (key, row) in &mut self.rows {
            if !seen.contains_key(key) && row.seen.presence != Presence::Offline {
                row.seen.presence = Presence::Offline;
                row.updated = wall;
            }
            row.seen.asleep &= seen.contains_key(key);
            if !seen.contains_key(key) && !row.seen.task.is_empty() {
                row.seen.task = String::new();
                row.updated = wall;
            }
        }
        for (key, seen) in seen {
            match self.rows.get_mut(&key) {
                Some(row) if row.seen != seen => {
                    row.seen = seen;
                    row.updated = wall;
                }
                Some(_) => {}
                // A channel enters the table once it was there.
                None if !there(seen.presence) => {}
                None => {
                    self.rows.insert(key, Row { seen, updated: wall, gone_since: None });
                }
            }
        }
        self.rows.retain(|_, row| {
            if row.seen.presence != Presence::Offline || row.seen.asleep {
                row.gone_since = None;
                return true;
            }
            let since = *row.gone_since.get_or_insert(now);
            now.saturating_duration_since(since) < age_out
        });
    }

    /// The rows, by device and channel.
    pub(super) fn rows(&self) -> Vec<MediaUrl> {
        let row = |((device, channel), row): (&RowKey, &Row)| MediaUrl {
            device_index: device.clone(),
            channel: *channel,
            media_url: row.seen.url.clone(),
            presence: row.seen.presence,
            task: row.seen.task.clone(),
            updated: row.updated,
        };
        self.rows.iter().map(row).collect()
    }
}

fn there(presence: Presence) -> bool {
    matches!(presence, Presence::Online | Presence::Flapping)
}

/// The URL of one stream, without credentials.
pub(super) fn media_url(host: &str, port: u16, stream_id: u32) -> String {
    format!("rtsp://{}/Streaming/Channels/{stream_id}", super::config::host_port(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE_OUT: Duration = Duration::from_secs(300);

    fn seen(url: &str, presence: Presence) -> BTreeMap<RowKey, Seen> {
        let task = "nvr1/3/main".into();
        [(("nvr1".to_owned(), 3), Seen { url: url.into(), presence, task, asleep: false })].into()
    }

    #[tokio::test]
    async fn one_that_is_asleep_keeps_its_row_for_as_long_as_it_sleeps() {
        let (mut urls, now) = (Urls::default(), Instant::now());
        let mut step = |seen, s| {
            urls.update(seen, AGE_OUT, now + Duration::from_secs(s), Wall::from_millis(s as i64));
            urls.rows().len()
        };
        let asleep = || {
            let mut seen = seen("a", Presence::Offline);
            seen.values_mut().for_each(|s| s.asleep = true);
            seen
        };
        step(seen("a", Presence::Online), 0);
        assert_eq!((step(asleep(), 1), step(asleep(), 100_000)), (1, 1));
        assert_eq!((step(BTreeMap::new(), 100_001), step(BTreeMap::new(), 100_301)), (1, 0), "deleted in its sleep");
    }

    #[tokio::test]
    async fn a_row_outlives_a_short_absence_and_ages_out_of_a_long_one() {
        let (mut urls, now) = (Urls::default(), Instant::now());
        let at = |s| (now + Duration::from_secs(s), Wall::from_millis(s as i64 * 1000));
        let mut step = |seen, s| {
            let (now, wall) = at(s);
            urls.update(seen, AGE_OUT, now, wall);
            urls.rows()
        };
        assert_eq!(step(seen("a", Presence::Online), 0)[0].updated, Wall::from_millis(0));
        assert_eq!(step(seen("a", Presence::Offline), 10)[0].presence, Presence::Offline);
        assert_eq!(step(seen("a", Presence::Online), 300).len(), 1);
        let deleted = step(BTreeMap::new(), 400);
        assert_eq!((deleted[0].presence, deleted[0].task.as_str()), (Presence::Offline, ""));
        assert_eq!(step(BTreeMap::new(), 699).len(), 1);
        assert_eq!(step(BTreeMap::new(), 700).len(), 0);
    }

    #[tokio::test]
    async fn a_changed_url_is_followed_and_an_unchanged_row_keeps_its_date() {
        let (mut urls, now) = (Urls::default(), Instant::now());
        urls.update(seen("a", Presence::Online), AGE_OUT, now, Wall::from_millis(1));
        urls.update(seen("a", Presence::Online), AGE_OUT, now, Wall::from_millis(2));
        assert_eq!(urls.rows()[0].updated, Wall::from_millis(1));
        urls.update(seen("b", Presence::Online), AGE_OUT, now, Wall::from_millis(3));
        assert_eq!((urls.rows()[0].media_url.as_str(), urls.rows()[0].updated), ("b", Wall::from_millis(3)));
    }

    #[tokio::test]
    async fn a_channel_that_was_never_there_has_no_row() {
        let mut urls = Urls::default();
        urls.update(seen("a", Presence::Offline), AGE_OUT, Instant::now(), Wall::from_millis(1));
        assert!(urls.rows().is_empty());
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(media_url("fe80::1", 554, 101), "rtsp://[fe80::1]:554/Streaming/Channels/101");
    }
}
