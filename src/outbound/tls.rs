//! TLS towards others. A certificate that is not good ends the handshake, so that not a byte of a request is sent, and
//! the error tells which certificate was seen.

use super::{Address, Error, connection::Secure};
use crate::model::{Fingerprint, Trust};
use aws_lc_rs::signature::{self, RsaParameters, UnparsedPublicKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// What the host trusts, read once: it changes with the host's packages, years apart.
static ROOTS: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// A handshake over `io` with whoever is at `address`.
pub(super) async fn handshake<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    io: T,
    address: &Address,
    secure: Secure<'_>,
    protocol: Option<&'static [u8]>,
) -> Result<tokio_rustls::client::TlsStream<T>, Error> {
    let failed = |cause: String| Error::Tls { address: address.to_string(), cause };
    let Address::Tcp { host, .. } = address else {
        return Err(Error::Invalid("TLS goes over TCP alone".into()));
    };
    let name = secure.name.unwrap_or(host);
    let name =
        ServerName::try_from(name.to_owned()).map_err(|_| Error::Invalid(format!("`{name}` is no name for TLS")))?;
    let mut config = config_of(secure.trust).await.map_err(failed)?;
    if let Some(protocol) = protocol {
        Arc::make_mut(&mut config).alpn_protocols = vec![protocol.to_vec()];
    }
    TlsConnector::from(config).connect(name, io).await.map_err(|e| told(&e).unwrap_or_else(|| failed(e.to_string())))
}

/// What a handshake with somebody who is trusted so begins with; why it cannot, in words.
pub async fn config_of(trust: Trust) -> Result<Arc<ClientConfig>, String> {
    match trust {
        Trust::Pinned(fingerprint) => pinned(Some(fingerprint)).map_err(|e| e.to_string()),
        Trust::Anyone => pinned(None).map_err(|e| e.to_string()),
        Trust::SystemRoots => rooted().await,
    }
}

/// What the verifiers below said, where it was them that ended the handshake.
fn told(e: &std::io::Error) -> Option<Error> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = e.get_ref()?.downcast_ref()? else {
        return None;
    };
    let Untrusted { seen, cause } = other.0.downcast_ref::<Untrusted>()?;
    Some(Error::Untrusted { seen: *seen, cause: cause.clone() })
}

/// A certificate that is not good, on its way through the library.
#[derive(Debug, thiserror::Error)]
#[error("{seen}")]
struct Untrusted {
    seen: Fingerprint,
    /// None: it is not the one that was pinned.
    cause: Option<String>,
}

impl Untrusted {
    fn error(certificate: &CertificateDer<'_>, cause: Option<String>) -> rustls::Error {
        let untrusted = Self { seen: Fingerprint::of(certificate), cause };
        CertificateError::Other(OtherError(Arc::new(untrusted))).into()
    }
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

fn pinned(fingerprint: Option<Fingerprint>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(default_provider());
    config(provider.clone(), Arc::new(Pinned { fingerprint, provider }))
}

async fn rooted() -> Result<Arc<ClientConfig>, String> {
    if let Some(config) = ROOTS.get() {
        return Ok(config.clone());
    }
    // It reads some hundred certificates from files.
    let made = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this host has no root certificates; install ca-certificates, or pin the certificate".into());
        }
        with_roots(roots)
    });
    let made = made.await.map_err(|e| e.to_string())??;
    Ok(ROOTS.get_or_init(|| made).clone())
}

pub(super) fn with_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = Rooted(verifier.build().map_err(|e| e.to_string())?);
    config(provider, Arc::new(verifier)).map_err(|e| e.to_string())
}

/// The library's own check, which says besides what it saw.
#[derive(Debug)]
struct Rooted(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Rooted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|e| Untrusted::error(end_entity, Some(cause(&e))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What is wrong with a certificate, for people.
fn cause(e: &rustls::Error) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(wrong) = e else { return e.to_string() };
    let words = match wrong {
        UnknownIssuer => "no authority that this host trusts has signed it",
        Expired | ExpiredContext { .. } => "it has expired",
        NotValidYet | NotValidYetContext { .. } => "it is not valid yet",
        NotValidForName | NotValidForNameContext { .. } => "it is for another name",
        other => return other.to_string(),
    };
    words.to_owned()
}

/// One certificate and no other, or any at all. Its name, dates and issuer say nothing more; that the peer has its key,
/// the handshake's signature says.
#[derive(Debug)]
struct Pinned {
    fingerprint: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.fingerprint.is_none_or(|fingerprint| Fingerprint::of(end_entity) == fingerprint) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Untrusted::error(end_entity, None))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let usual = verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms);
        usual.or_else(|e| old_rsa(message, cert, dss).ok_or(e))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        // A short key can be checked in the older form alone, so that is what is asked for first.
        schemes.sort_by_key(|s| old_form(*s).is_none());
        schemes
    }
}

/// The older form of RSA signatures, with keys from 1024 bits on.
fn old_form(scheme: SignatureScheme) -> Option<&'static RsaParameters> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PKCS1_SHA512 => Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

/// What devices of ten years ago have and the library refuses: RSA keys of 1024 bits, and certificates of version 1.
/// The certificate is pinned already; all that is left to see is that the peer has its key.
fn old_rsa(message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Option<HandshakeSignatureValid> {
    let key = UnparsedPublicKey::new(old_form(dss.scheme)?, public_key(cert)?);
    key.verify(message, dss.signature()).ok()?;
    Some(HandshakeSignatureValid::assertion())
}

/// `SEQUENCE` and the tag of an explicit version, in DER.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The `SubjectPublicKeyInfo` of a certificate of any version: the sixth field of its inner sequence, not counting the
/// version, which the first one leaves out.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = der(certificate, SEQUENCE)?;
    let (mut fields, _) = der(outer.content, SEQUENCE).map(|(inner, rest)| (inner.content, rest))?;
    if let Some((_, rest)) = der(fields, VERSION) {
        fields = rest;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        fields = der(fields, *fields.first()?)?.1;
    }
    Some(der(fields, SEQUENCE)?.0.whole)
}

/// One element of DER.
struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// The element at the start of `bytes`, if it has that tag, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&found, &short) = (bytes.first()?, bytes.get(1)?);
    let (head, len) = match short {
        0..=0x7f => (2, usize::from(short)),
        // A certificate's lengths fit into three bytes.
        0x81..=0x83 => {
            let count = usize::from(short & 0x7f);
            let figures = bytes.get(2..2 + count)?;
            (2 + count, figures.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
        }
        _ => return None,
    };
    let whole = bytes.get(..head + len).filter(|_| found == tag)?;
    Some((Element { whole, content: &whole[head..] }, &bytes[head + len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_certificate_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = public_key(&bytes);
            let nested = [&[SEQUENCE, 0x81, bytes.len() as u8][..], &bytes].concat();
            let _ = public_key(&nested);
        }
    }
}
