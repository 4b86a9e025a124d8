//! One order: from the names to a pair.

use super::{challenges::Challenges, files, http::Http, task::Config};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy,
};
use rustls::crypto::CryptoProvider;
use std::{sync::Arc, time::Duration};

/// An authority looks at a name from several places, and takes its time.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_secs(120));

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Proof {
    Http,
    Tls,
}

/// Why there is none; words for people.
type Failed = String;

fn failed(what: &str) -> impl Fn(instant_acme::Error) -> Failed + '_ {
    move |e| format!("{what}: {e}")
}

/// The account that is kept, or a new one.
pub(in crate::proxy) async fn account(config: &Config) -> Result<Account, Failed> {
    let builder = || Account::builder_with_http(Box::new(Http { trust: config.trust }));
    let kept = files::account(&config.dir).map_err(|e| format!("the account cannot be read: {e}"))?;
    if let Some(kept) = kept {
        let kept = serde_json::from_slice(&kept).map_err(|e| format!("the account that is kept is broken: {e}"))?;
        return builder().from_credentials(kept).await.map_err(failed("the account cannot be used"));
    }
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = match &config.external {
        Some((id, key)) => {
            let key = URL_SAFE_NO_PAD.decode(key.expose()).map_err(|_| "the key of the account is not base64url")?;
            Some(ExternalAccountKey::new(id.clone(), &key))
        }
        None => None,
    };
    let made = builder().create(&new, config.directory.clone(), external.as_ref()).await;
    let (account, credentials) = made.map_err(failed("no account is given"))?;
    let text = serde_json::to_vec(&credentials).map_err(|e| e.to_string())?;
    files::keep_account(&config.dir, &text).map_err(|e| format!("the account cannot be kept: {e}"))?;
    Ok(account)
}

/// Orders a certificate for the names; key and chain as PEM.
pub(in crate::proxy) async fn order(
    account: &Account,
    names: &[String],
    proof: Proof,
    challenges: &Challenges,
    provider: &Arc<CryptoProvider>,
) -> Result<String, Failed> {
    let outcome = prove_and_get(account, names, proof, challenges, provider).await;
    challenges.clear();
    outcome
}

async fn prove_and_get(
    account: &Account,
    names: &[String],
    proof: Proof,
    challenges: &Challenges,
    provider: &Arc<CryptoProvider>,
) -> Result<String, Failed> {
    let identifiers: Vec<_> = names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(failed("the order is refused"))?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(failed("a name's state is not told"))?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(format!("a name is {other:?} at the authority")),
        }
        let kind = match proof {
            Proof::Http => ChallengeType::Http01,
            Proof::Tls => ChallengeType::TlsAlpn01,
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            return Err(format!("the authority does not look by {proof:?}"));
        };
        let answer = challenge.key_authorization();
        match proof {
            Proof::Http => challenges.expect_http(&challenge.token, answer.as_str()),
            Proof::Tls => {
                let name = challenge.identifier().to_string();
                challenges.expect_tls(&name, answer.digest().as_ref(), provider)?;
            }
        }
        challenge.set_ready().await.map_err(failed("the authority does not begin to look"))?;
    }
    let status = order.poll_ready(&PATIENCE).await.map_err(failed("the names are not proven in time"))?;
    if status != OrderStatus::Ready {
        return Err(format!("the names are not proven: {}", why(&mut order).await));
    }
    let key = order.finalize().await.map_err(failed("the request is refused"))?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(failed("no certificate comes"))?;
    Ok(format!("{key}\n{chain}"))
}

/// What the authority says of each name that it could not prove.
async fn why(order: &mut instant_acme::Order) -> String {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            let name = state.identifier().to_string();
            let problems = state.challenges.iter().filter_map(|c| c.error.as_ref().map(ToString::to_string));
            told.extend(problems.map(|problem| format!("{name}: {problem}")));
        }
    }
    if told.is_empty() { "the authority does not say why".into() } else { told.join("; ") }
}
