//! Lists in pages: `{"items": […], "next": cursor or null}`.

use schemars::JsonSchema;
use serde::Serialize;

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Page<T> {
    /// What there is, in order.
    pub items: Vec<T>,
    /// Send it as `cursor` to get what follows; null where nothing does.
    pub next: Option<String>,
}

/// The first `limit` of `sorted` behind `cursor`, by the order of `key`.
pub(super) fn page<T, K: Ord + ToString>(
    sorted: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
    cursor: Option<K>,
    limit: usize,
) -> Page<T> {
    let mut behind = sorted.into_iter().skip_while(|item| cursor.as_ref().is_some_and(|c| key(item) <= *c));
    let items: Vec<T> = behind.by_ref().take(limit).collect();
    let more = behind.next().is_some();
    let next = items.last().filter(|_| more).map(|last| key(last).to_string());
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn pages_put_together_are_the_list(mut list in proptest::collection::vec(0u32..1000, 0..50), limit in 1usize..10) {
            list.sort_unstable();
            list.dedup();
            let mut got = Vec::new();
            let mut cursor = None;
            loop {
                let page = page(list.iter().copied(), |n| *n, cursor, limit);
                proptest::prop_assert!(page.items.len() <= limit);
                got.extend(page.items);
                let Some(next) = page.next else { break };
                cursor = Some(next.parse().unwrap());
            }
            proptest::prop_assert_eq!(got, list);
        }
    }
}
