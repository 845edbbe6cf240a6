//! TLS to a directory: certificate and host name verified, always.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Against the authorities in `roots` (PEM) or the system's.
pub(super) fn verified(roots: Option<&Path>) -> Fallible<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Some(path) => {
            let mut store = RootCertStore::empty();
            let at = |e| format!("{}: {e}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(at)? {
                store.add(certificate.map_err(at)?)?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build()?
        }
        None => Arc::new(rustls_platform_verifier::Verifier::new(provider.clone())?),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
