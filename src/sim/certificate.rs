//! The certificate that a simulated device makes for itself: an RSA key, a name that is not the address it is reached
//! by, and dates long past, as devices in the field have them.

use crate::model::Fingerprint;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A device's certificate, which can be made anew while it serves.
#[derive(Debug)]
pub(super) struct Certificate {
    current: Mutex<Made>,
}

#[derive(Clone, Debug)]
struct Made {
    key: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// A first one.
    pub fn new() -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { current: Mutex::new(make()?) }))
    }

    /// Its SHA-256.
    pub fn fingerprint(&self) -> Fingerprint {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).fingerprint
    }

    /// Another one from the next connection on.
    pub fn renew(&self) -> Result<(), String> {
        let made = make()?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(())
    }

    /// What a server shows it with.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, String> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(self.clone())))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.lock().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

fn make() -> Result<Made, String> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(|e| e.to_string())?;
    let mut params = CertificateParams::new(Vec::new()).map_err(|e| e.to_string())?;
    params.not_before = date_time_ymd(2014, 1, 1);
    params.not_after = date_time_ymd(2024, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "IP CAMERA");
    let der = params.self_signed(&key).map_err(|e| e.to_string())?.der().clone();
    let fingerprint = Fingerprint::of(&der);
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let certified = CertifiedKey::from_der(vec![der], secret, &default_provider()).map_err(|e| e.to_string())?;
    Ok(Made { key: Arc::new(certified), fingerprint })
}
