//! What is answered to an authority that looks whether a name leads here.

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What the path of a look by HTTP begins with.
const CHALLENGE_PATH: &[u8] = b"/.well-known/acme-challenge/";
/// What is spoken in a look by TLS (RFC 8737).
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The looks that are expected. Almost always there are none, and then asking costs one load.
#[derive(Default)]
pub(in crate::proxy) struct Challenges {
    any: AtomicBool,
    expected: Mutex<Expected>,
}

#[derive(Default)]
struct Expected {
    /// By token.
    http: HashMap<String, String>,
    /// By name.
    tls: HashMap<String, Arc<ServerConfig>>,
}

impl Challenges {
    /// What is to be answered for this path.
    pub(in crate::proxy) fn by_http(&self, path: &[u8]) -> Option<Vec<u8>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let token = std::str::from_utf8(path.strip_prefix(CHALLENGE_PATH)?).ok()?;
        self.expected().http.get(token).map(|text| text.clone().into_bytes())
    }

    /// What is to be shown to a client that speaks these, and no others, and names this.
    pub(in crate::proxy) fn by_tls<'a>(
        &self,
        name: Option<&str>,
        mut protocols: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Arc<ServerConfig>> {
        if !self.any.load(Ordering::Relaxed) || protocols.next() != Some(PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        self.expected().tls.get(&name?.to_ascii_lowercase()).cloned()
    }

    pub(super) fn expect_http(&self, token: &str, answer: &str) {
        self.expected().http.insert(token.to_owned(), answer.to_owned());
        self.any.store(true, Ordering::Relaxed);
    }

    /// `digest` is that of the answer, which a certificate of our own shows.
    pub(super) fn expect_tls(&self, name: &str, digest: &[u8], provider: &Arc<CryptoProvider>) -> Result<(), String> {
        let words = |e: rcgen::Error| e.to_string();
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(words)?;
        params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
        let key = KeyPair::generate().map_err(words)?;
        let certificate = params.self_signed(&key).map_err(words)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = provider.key_provider.load_private_key(key).map_err(|e| e.to_string())?;
        // Not checked, since the library knows no such extension, and refuses it as it must where it is critical.
        let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
        let shown = Arc::new(SingleCertAndKey::from(shown));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth().with_cert_resolver(shown))
            .map_err(|e| e.to_string())?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        self.expected().tls.insert(name.to_ascii_lowercase(), Arc::new(config));
        self.any.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// None is expected any more.
    pub(super) fn clear(&self) {
        *self.expected() = Expected::default();
        self.any.store(false, Ordering::Relaxed);
    }

    fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
