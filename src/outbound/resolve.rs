//! Where host names lead, asked of the system's resolver.

use futures_util::future::BoxFuture;
use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Semaphore;

/// Who knows the addresses of a host name; why not, in words.
pub type Lookup = Arc<dyn Fn(Arc<str>, u16) -> BoxFuture<'static, Result<Vec<SocketAddr>, String>> + Send + Sync>;

/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 64;
/// Questions to the system's resolver at once. Each takes a thread for as long as it hangs, also when nobody waits for
/// the answer any more: without a bound, a name server that is away takes all threads of the runtime.
const ASKED_AT_ONCE_MAX: usize = 32;

static PLACES: Semaphore = Semaphore::const_new(ASKED_AT_ONCE_MAX);

/// The system's resolver.
pub fn system_lookup() -> Lookup {
    Arc::new(|host, port| {
        Box::pin(async move {
            if let Ok(ip) = host.parse::<IpAddr>() {
                return Ok(vec![SocketAddr::new(ip, port)]);
            }
            let place = PLACES.acquire().await.map_err(|e| e.to_string())?;
            let asked = tokio::task::spawn_blocking(move || {
                let found = (&*host, port).to_socket_addrs().map(Iterator::collect);
                drop(place);
                found
            });
            asked.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
        })
    })
}

/// Looks one name up, within bounds. The family that the resolver prefers comes first, and each in order: resolvers give
/// the addresses of a name in turn, and a turn is no change.
pub async fn resolve(
    lookup: &Lookup,
    host: &Arc<str>,
    port: u16,
    patience: Duration,
) -> Result<Vec<SocketAddr>, String> {
    let late = |_| format!("no answer within {} s", patience.as_secs_f32());
    let mut found = tokio::time::timeout(patience, lookup(host.clone(), port)).await.map_err(late)??;
    if found.is_empty() {
        return Err("it has no address".to_owned());
    }
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    found.sort_unstable_by_key(|a| (a.is_ipv6() != first_is_v6, *a));
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(answer: Result<Vec<&'static str>, String>) -> Result<Vec<String>, String> {
        let lookup: Lookup = Arc::new(move |_, _| {
            let answer = answer.clone();
            Box::pin(async move { answer.map(|l| l.iter().map(|a| a.parse().unwrap()).collect()) })
        });
        let found = resolve(&lookup, &"web".into(), 80, Duration::from_secs(2)).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_one_order_and_in_time() {
        let given = Ok(vec!["10.0.0.2:80", "[::1]:80", "10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(of(given).await.unwrap(), ["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"]);
        assert_eq!(of(Ok(vec!["[::1]:80", "10.0.0.1:80"])).await.unwrap(), ["[::1]:80", "10.0.0.1:80"]);
        assert_eq!(of(Ok(vec![])).await.unwrap_err(), "it has no address");
        assert_eq!(of(Err("SERVFAIL".into())).await.unwrap_err(), "SERVFAIL");
        let silent: Lookup = Arc::new(|_, _| Box::pin(std::future::pending()));
        let found = resolve(&silent, &"web".into(), 80, Duration::from_millis(2_500)).await;
        assert_eq!(found.unwrap_err(), "no answer within 2.5 s");
    }

    #[tokio::test]
    async fn the_system_knows_addresses_and_this_host() {
        let lookup = system_lookup();
        assert_eq!(lookup("::1".into(), 7).await.unwrap(), ["[::1]:7".parse().unwrap()]);
        assert!(lookup("localhost".into(), 7).await.unwrap().iter().all(|a| a.ip().is_loopback() && a.port() == 7));
        assert!(lookup("no such name".into(), 7).await.is_err());
    }
}
