//! TLS in the server itself: a certificate and its key, read from two files, and again when they change.

use crate::Time;
use crate::clock::Clock;
use crate::config::TlsFiles;
use chrono::DateTime;
use gatepass_core::text::Digest;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

/// How often the files are read to see whether they changed.
const LOOK: Duration = Duration::from_secs(1);

const EXPIRES: &str = "gatepass_certificate_expires_seconds";
const FAILURES: &str = "gatepass_certificate_reload_failures_total";

/// Why a certificate or its key cannot be used. Every message says what was expected.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read: {error}, expected a file in PEM", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} has no certificate in it, expected PEM with the server’s certificate first", .0.display())]
    NoCertificate(PathBuf),
    #[error("the certificate in {} cannot be read: {why}, expected X.509 in PEM", path.display())]
    Certificate { path: PathBuf, why: String },
    #[error("{} has no private key in it, expected PEM without a passphrase", .0.display())]
    NoKey(PathBuf),
    #[error("the key in {} cannot be used: {why}, expected an RSA, ECDSA or Ed25519 key", path.display())]
    Key { path: PathBuf, why: String },
    #[error("the key in {} is not the one of the certificate in {}, expected a pair", key.display(), certificate.display())]
    NoPair { certificate: PathBuf, key: PathBuf },
    #[error("the certificate in {} ended at {ended}, expected one that is still valid", path.display())]
    Ended { path: PathBuf, ended: Time },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl TlsError {
    /// The file that is to be changed.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. }
            | Self::NoCertificate(path)
            | Self::Certificate { path, .. }
            | Self::NoKey(path)
            | Self::Key { path, .. }
            | Self::NoPair { key: path, .. }
            | Self::Ended { path, .. } => Some(path),
            Self::Setup(_) => None,
        }
    }
}

/// A certificate with those above it, its key, and when it ends.
struct Pair {
    key: Arc<CertifiedKey>,
    ends: Time,
}

/// Both files at one moment.
struct Contents {
    certificate: io::Result<Vec<u8>>,
    key: io::Result<Zeroizing<Vec<u8>>>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Self {
        let key = std::fs::read(&files.key).map(Zeroizing::new);
        Self { certificate: std::fs::read(&files.certificate), key }
    }

    /// Another one when either file is another, or cannot be read any more.
    fn digests(&self) -> [Option<Digest>; 2] {
        [self.certificate.as_ref().ok().map(|c| Digest::of(c)), self.key.as_ref().ok().map(|k| Digest::of(k))]
    }

    fn pair(self, files: &TlsFiles) -> Result<Pair, TlsError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |error| TlsError::Unreadable { path, error }
        };
        let chain =
            certificates(&files.certificate, &self.certificate.map_err(unreadable(&files.certificate))?)?;
        let ends = end(&files.certificate, &chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.map_err(unreadable(&files.key))?)
            .map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|e| match e {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::NoPair { certificate: files.certificate.clone(), key: files.key.clone() }
                }
                rustls::Error::InvalidCertificate(why) => {
                    TlsError::Certificate { path: files.certificate.clone(), why: format!("{why:?}") }
                }
                other => TlsError::Key { path: files.key.clone(), why: other.to_string() },
            })?;
        Ok(Pair { key: Arc::new(key), ends })
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|e| TlsError::Certificate { path: path.to_owned(), why: e.to_string() })?;
    if chain.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

/// When the first of them ends: the server's own. One above it that ends earlier may not be on the client's way.
fn end(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Time, TlsError> {
    let wrong = |why: String| TlsError::Certificate { path: path.to_owned(), why };
    let own = chain.first().ok_or_else(|| TlsError::NoCertificate(path.to_owned()))?;
    let own = Certificate::from_der(own).map_err(|e| wrong(e.to_string()))?;
    let ends = own.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    let ends = i64::try_from(ends).ok().and_then(|s| DateTime::from_timestamp(s, 0));
    ends.ok_or_else(|| wrong("its end is not a time".to_owned()))
}

/// When the certificate in the PEM file at `path` ends.
pub fn expiry(path: &Path) -> Result<Time, TlsError> {
    let pem = std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })?;
    end(path, &certificates(path, &pem)?)
}

/// Says whether the files can be used together. A certificate that has ended can: see [`check_end`].
pub fn check(files: &TlsFiles) -> Result<(), TlsError> {
    Contents::read(files).pair(files).map(drop)
}

/// Says whether the certificate is still valid.
pub fn check_end(files: &TlsFiles, now: Time) -> Result<(), TlsError> {
    still_valid(files, expiry(&files.certificate)?, now)
}

fn still_valid(files: &TlsFiles, ends: Time, now: Time) -> Result<(), TlsError> {
    if ends > now { Ok(()) } else { Err(TlsError::Ended { path: files.certificate.clone(), ended: ends }) }
}

/// What new connections are shown.
#[derive(Debug)]
struct Shown(watch::Receiver<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.borrow().clone())
    }
}

/// The certificate in use, to be kept current by [`Current::follow`].
pub struct Current {
    files: TlsFiles,
    shown: watch::Sender<Arc<CertifiedKey>>,
    /// Of the files as they were last used or refused.
    seen: [Option<Digest>; 2],
}

impl Current {
    /// Reads the files. A certificate that has ended is used and complained about: clients refuse it, but accesses
    /// go on to be ended in time.
    pub fn load(files: TlsFiles, now: Time) -> Result<Self, TlsError> {
        let contents = Contents::read(&files);
        let seen = contents.digests();
        let pair = contents.pair(&files)?;
        if let Err(error) = still_valid(&files, pair.ends, now) {
            tracing::error!(%error, "clients will refuse to connect");
        }
        tell(&pair);
        Ok(Self { files, shown: watch::Sender::new(pair.key), seen })
    }

    /// Accepts TLS 1.2 and 1.3 with whatever certificate is current.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shown(self.shown.subscribe())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A desktop that comes back within hours needs no new key exchange to be authenticated, and takes no memory here.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes new files as they come; connections stay. What cannot be used, or has ended, leaves the old in use.
    pub async fn follow(mut self, clock: Arc<dyn Clock>, mut stopping: watch::Receiver<bool>) {
        let mut refused_before = None;
        while timeout(LOOK, stopping.wait_for(|s| *s)).await.is_err() {
            let files = self.files.clone();
            let read = tokio::task::spawn_blocking(move || {
                let contents = Contents::read(&files);
                (contents.digests(), contents)
            });
            let Ok((digests, contents)) = read.await else { continue };
            if digests == self.seen {
                refused_before = None;
                continue;
            }
            let valid = contents.pair(&self.files).and_then(|pair| {
                still_valid(&self.files, pair.ends, clock.now())?;
                Ok(pair)
            });
            match valid {
                Ok(pair) => {
                    tell(&pair);
                    tracing::info!(ends = %pair.ends, "a new certificate is in use");
                    self.shown.send_replace(pair.key);
                    self.seen = digests;
                }
                // Two files are not replaced at once: only what stays as it is is wrong.
                Err(_) if refused_before.as_ref() != Some(&digests) => refused_before = Some(digests),
                Err(error) => {
                    metrics::counter!(FAILURES).increment(1);
                    tracing::error!(%error, "the new certificate is not used, the old one stays");
                    self.seen = digests;
                }
            }
        }
    }
}

fn tell(pair: &Pair) {
    metrics::gauge!(EXPIRES).set(pair.ends.timestamp() as f64);
}
