//! Answers to challenges. A login is spent with care: devices lock an account after a few refused ones.

use base64::Engine;
use http_auth::{PasswordClient, PasswordParams};

/// The challenge in force and how it was come by.
pub(super) struct Challenge {
    client: PasswordClient,
}

impl Challenge {
    /// Reads the challenges of a 401. Digest is preferred to Basic; several headers, or several challenges in one,
    /// are all looked at, and one that is not understood does not hide another.
    pub(super) fn read(headers: &http::HeaderMap) -> Result<Self, String> {
        let mut found: Option<PasswordClient> = None;
        let mut wrong = None;
        for value in headers.get_all(http::header::WWW_AUTHENTICATE) {
            let read = value
                .to_str()
                .map_err(|_| "a challenge that is not text".to_owned())
                .and_then(|text| PasswordClient::builder().challenges(text).build());
            match read {
                Ok(digest @ PasswordClient::Digest(_)) => return Ok(Self { client: digest }),
                Ok(basic) => found = found.or(Some(basic)),
                Err(e) => wrong = Some(super::xml::clip(&e)),
            }
        }
        match (found, wrong) {
            (Some(client), _) => Ok(Self { client }),
            (None, Some(e)) => Err(format!("its challenge is not understood: {e}")),
            (None, None) => Err("it asks for a login and sends no challenge".to_owned()),
        }
    }

    /// True where the device says that only the nonce was too old, not the password wrong.
    pub(super) fn stale(&self) -> bool {
        matches!(&self.client, PasswordClient::Digest(d) if d.stale())
    }

    /// True where two challenges differ in what makes an answer to one no answer to the other.
    pub(super) fn differs(&self, other: &Self) -> bool {
        match (&self.client, &other.client) {
            (PasswordClient::Digest(a), PasswordClient::Digest(b)) => a.nonce() != b.nonce(),
            (PasswordClient::Basic(_), PasswordClient::Basic(_)) => false,
            _ => true,
        }
    }

    /// The `Authorization` for one request. The nonce counter goes up with each.
    pub(super) fn answer(&mut self, user: &str, password: &str, method: &str, uri: &str) -> Result<String, String> {
        match &mut self.client {
            // The library's own Basic takes the same bytes; spelled here so that any user name goes.
            PasswordClient::Basic(_) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                Ok(format!("Basic {pair}"))
            }
            digest => digest
                .respond(&PasswordParams { username: user, password, uri, method, body: Some(&[]) })
                .map_err(|e| format!("its challenge cannot be answered: {}", super::xml::clip(&e))),
        }
    }
}
