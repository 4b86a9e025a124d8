//! Walking through a gateway's list of devices page by page, while the list may change under our feet. Pure.
//!
//! What a page shows is believed. That something is *not* there is believed of a complete walk alone: every page
//! answered, the same total on each, no device twice, and as many devices as the total says.

use crate::hikvision::{DevicePage, GatewayDevice};
use std::collections::BTreeMap;

/// Devices asked for at a time: what the gateway's own description asks for. A page is about 50 KB then.
pub(super) const PAGE_DEVICES: usize = 100;
/// Devices that one walk reads at most. The longest lists in the field have a few hundred.
const WALK_DEVICES_MAX: usize = 4_000;
/// Pages of one walk, for a gateway that gives a few devices at a time.
const WALK_PAGES_MAX: u32 = 400;

/// A walk under way.
#[derive(Debug, Default)]
pub(super) struct Walk {
    devices: BTreeMap<String, GatewayDevice>,
    entries: usize,
    pages: u32,
    total: Option<usize>,
    doubt: Option<&'static str>,
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The page from this position on.
    Page(usize),
    /// That was the last.
    End,
}

/// What a walk has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// By `devIndex`.
    pub devices: BTreeMap<String, GatewayDevice>,
    /// Why absence from the list proves nothing; None: it was complete.
    pub doubt: Option<String>,
}

impl Walk {
    /// Takes the page in that begins at the position asked for.
    pub(super) fn page(&mut self, page: DevicePage) -> Step {
        let first = self.pages == 0;
        self.pages += 1;
        if !first && self.total != page.total {
            self.doubt("it changed while it was read");
        }
        self.total = page.total;
        // Null with a total of nothing on the first page is how an empty list is written, too.
        let empty = first && page.total == Some(0);
        if !page.told && !empty {
            self.doubt("its MatchList is null");
        }
        self.entries += page.entries;
        let mut fresh = 0;
        for device in page.devices {
            match self.devices.insert(device.index.clone(), device) {
                Some(_) => self.doubt("it names a device twice"),
                None => fresh += 1,
            }
        }
        let more = match self.total {
            Some(total) => self.entries < total,
            // Without a total a short page is the last.
            None => page.entries >= PAGE_DEVICES,
        };
        let unreadable = page.entries > 0 && fresh == 0;
        if !more || page.entries == 0 {
            return Step::End;
        }
        if self.entries >= WALK_DEVICES_MAX || self.pages >= WALK_PAGES_MAX || unreadable {
            self.doubt("it is longer than what is read of it");
            return Step::End;
        }
        Step::Page(self.entries)
    }

    /// All that was seen.
    pub(super) fn listing(mut self) -> Listing {
        if self.total.is_some_and(|total| total != self.entries) {
            self.doubt("it holds another number of devices than it says");
        }
        if self.total.is_none() && self.entries == 0 {
            self.doubt("it says nothing");
        }
        Listing { devices: self.devices, doubt: self.doubt.map(str::to_owned) }
    }

    /// The first doubt is the one that is told.
    fn doubt(&mut self, why: &'static str) {
        self.doubt.get_or_insert(why);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::hikvision::{DeviceStatus, Identity};
    use proptest::prelude::*;

    pub(in crate::camera::gateway) fn device(index: &str) -> GatewayDevice {
        GatewayDevice {
            index: index.to_owned(),
            identity: Identity::default(),
            status: Some(DeviceStatus::Online),
            hint: None,
            channels: Some(1),
        }
    }

    fn page(indexes: &[&str], total: Option<usize>) -> DevicePage {
        DevicePage { devices: indexes.iter().map(|i| device(i)).collect(), entries: indexes.len(), total, told: true }
    }

    fn walk(pages: impl IntoIterator<Item = DevicePage>) -> Listing {
        let mut walk = Walk::default();
        for page in pages {
            if walk.page(page) == Step::End {
                break;
            }
        }
        walk.listing()
    }

    #[test]
    fn two_pages_are_one_list() {
        let mut two = Walk::default();
        assert_eq!(two.page(page(&["A", "B"], Some(3))), Step::Page(2));
        assert_eq!(two.page(page(&["C"], Some(3))), Step::End);
        let listing = two.listing();
        assert_eq!((listing.devices.len(), listing.doubt), (3, None));
    }

    #[test]
    fn whatever_is_odd_proves_no_absence() {
        let null = |total| DevicePage { total, ..DevicePage::default() };
        for (pages, why) in [
            (vec![null(Some(3))], "null"),
            (vec![null(None)], "null"),
            (vec![page(&["A"], Some(2)), null(Some(2))], "null"),
            (vec![page(&["A"], Some(2)), page(&[], Some(2))], "another number"),
            (vec![page(&["A"], Some(2)), page(&["B"], Some(3)), page(&["C"], Some(3))], "changed"),
            (vec![page(&["A"], Some(2)), page(&["A"], Some(2))], "twice"),
            (vec![page(&["A", "B"], Some(1))], "another number"),
            (vec![page(&[], None)], "says nothing"),
        ] {
            let listing = walk(pages.clone());
            assert!(listing.doubt.as_ref().is_some_and(|d| d.contains(why)), "{pages:?}: {listing:?}");
        }
        for fine in [vec![null(Some(0))], vec![page(&[], Some(0))], vec![page(&["A"], None)]] {
            assert_eq!(walk(fine.clone()).doubt, None, "{fine:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let mut endless = Walk::default();
        let mut n = 0;
        let mut step = Step::Page(0);
        while let Step::Page(_) = step {
            n += 1;
            step = endless.page(page(&[&format!("D{n}")], Some(1_000_000)));
        }
        assert_eq!(n, WALK_PAGES_MAX);
        assert!(endless.listing().doubt.is_some());
        let same = walk(std::iter::repeat_n(page(&["A"], Some(9)), 20));
        assert_eq!(same.devices.len(), 1);
    }

    proptest! {
        /// A list that changes between two pages by any number of deletions and additions: whoever is told as absent
        /// by a walk without doubt was away at some moment of it, or has only slipped over the border of a page.
        #[test]
        fn what_is_there_throughout_a_steady_list_is_seen(count in 0usize..60, size in 1usize..20) {
            let names: Vec<String> = (0..count).map(|n| format!("D{n}")).collect();
            let mut walk = Walk::default();
            let mut at = 0;
            loop {
                let shown: Vec<&str> = names.iter().skip(at).take(size).map(String::as_str).collect();
                match walk.page(page(&shown, Some(count))) {
                    Step::Page(next) => at = next,
                    Step::End => break,
                }
            }
            let listing = walk.listing();
            prop_assert_eq!(listing.doubt, None);
            prop_assert_eq!(listing.devices.len(), count);
        }

        #[test]
        fn any_pages_end_and_are_bounded(
            pages in proptest::collection::vec(
                (proptest::collection::vec(0u8..30, 0..8), proptest::option::of(0usize..40), any::<bool>()), 1..30,
            ),
        ) {
            let mut walk = Walk::default();
            for (indexes, total, told) in pages {
                let names: Vec<String> = indexes.iter().map(|i| format!("D{i}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                if walk.page(DevicePage { told, ..page(&names, total) }) == Step::End {
                    break;
                }
            }
            let (entries, total) = (walk.entries, walk.total);
            let listing = walk.listing();
            if listing.doubt.is_none() {
                prop_assert!(total.is_none_or(|t| t == entries && t == listing.devices.len()));
            }
        }
    }
}
