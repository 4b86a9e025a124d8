//! A certificate and its key, out of files: read, and held to each other before anybody is shown them.

use super::validity::{Validity, validity};
use rustls::{
    InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

/// A chain of certificates has some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Chains are sent with each full handshake; clients refuse longer ones.
const CHAIN_MAX: usize = 10;

/// What can be shown to clients.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Pair {
    pub(in crate::proxy) key: Arc<CertifiedKey>,
    pub(in crate::proxy) validity: Validity,
}

/// Why a pair is none; a sentence for people, without a byte of the key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(in crate::proxy) struct BadPair(pub(in crate::proxy) String);

/// What tells that a file is another one than before, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    modified: (i64, i64),
    bytes: u64,
}

/// None where there is no such file.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp { inode: (meta.dev(), meta.ino()), modified: (meta.mtime(), meta.mtime_nsec()), bytes: meta.len() })
}

/// Reads both files. It waits for a disk.
pub(super) fn load(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Pair, BadPair> {
    let (chain, secret) = (read(cert)?, read(key)?);
    parse(&chain, &secret, provider).map_err(|BadPair(why)| BadPair(format!("{}: {why}", cert.display())))
}

/// Makes a pair of two PEM texts.
pub(in crate::proxy) fn parse(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Pair, BadPair> {
    let bad = |why: String| BadPair(why);
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| bad(format!("the certificate is not PEM: {e}")))?;
    let Some(first) = chain.first() else {
        return Err(
            bad("there is no certificate in the file; it should begin with -----BEGIN CERTIFICATE-----".into()),
        );
    };
    if chain.len() > CHAIN_MAX {
        return Err(bad(format!("there are {} certificates in the file; {CHAIN_MAX} are the most", chain.len())));
    }
    let validity = validity(first).ok_or_else(|| bad("the certificate cannot be read".into()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| match e {
        rustls::pki_types::pem::Error::NoItemsFound => bad("the key's file has no private key in it".into()),
        // The text of other errors could show a part of what was read.
        _ => bad("the key is not PEM".into()),
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| bad("the kind of key is not known".into()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => return Err(bad("the key is not that of the certificate".into())),
        Err(e) => return Err(bad(format!("the certificate cannot be read: {e}"))),
    }
    Ok(Pair { key: Arc::new(certified), validity })
}

/// Whether a text is a pair, both halves in one.
pub(in crate::proxy) fn check(text: &[u8], provider: &CryptoProvider) -> Result<(), String> {
    parse(text, text, provider).map(|_| ()).map_err(|bad| bad.0)
}

/// From when until when the certificate in a file is valid. None: there is none.
pub(in crate::proxy) fn validity_of(path: &Path) -> Option<Validity> {
    let first = CertificateDer::from_pem_slice(&read(path).ok()?).ok()?;
    validity(&first)
}

fn read(path: &Path) -> Result<Vec<u8>, BadPair> {
    let failed = |e: io::Error| BadPair(format!("{} cannot be read: {e}", path.display()));
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(BadPair(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}
