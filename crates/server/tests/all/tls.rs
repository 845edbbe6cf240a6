//! TLS in the server itself, with a certificate authority of the test's own.

use gatepass_server::Config;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::testing::{PATIENCE, Setup, TestServer};
use gatepass_server::tls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::tls::Version;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
/// 2090-01-01 and 2091-01-01.
const ENDS_2090: i64 = 3_786_912_000;
const ENDS_2091: i64 = 3_818_448_000;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate for 127.0.0.1, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Valid from 2020 until the first day of `year`.
    fn pair(&self, year: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// A client that trusts nobody else.
    fn http(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root])
    }

    /// A connection that speaks `protocols`, and the end of the certificate it was shown.
    async fn connect(&self, address: &str, protocols: &[&[u8]]) -> std::io::Result<Connection> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

type Connection = tokio_rustls::client::TlsStream<TcpStream>;

fn shown(connection: &Connection) -> Vec<u8> {
    connection.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Writes beside it first and renames, as careful tools do: one file after the other.
fn put(directory: &Path, name: &str, text: &str) {
    let beside = directory.join(format!(".{name}"));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, directory.join(name)).unwrap();
}

fn put_pair(directory: &Path, pair: &Pair) {
    put(directory, CERTIFICATE, &pair.certificate);
    put(directory, KEY, &pair.key);
}

/// For the configuration, with paths that are relative to it.
fn section() -> String {
    format!("[server.tls]\ncertificate_file = \"{CERTIFICATE}\"\nkey_file = \"./{KEY}\"\n")
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

/// A server in this process whose certificate is in `directory`.
async fn serving(directory: &Path) -> TestServer {
    let server = section()
        .replace('"', "'")
        .replace("./", "")
        .replace("_file = '", &format!("_file = '{}/", directory.display()));
    TestServer::with(Setup { server, ..Setup::default() }).await
}

#[tokio::test]
async fn people_join_and_ask_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    put_pair(directory.path(), &authority.pair(2090));
    let mut server = serving(directory.path()).await;
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        server.http = authority.http().tls_version_min(version).tls_version_max(version).build().unwrap();
        let tomas = server.person(&format!("tomas{version:?}").to_lowercase(), &["backend"]).await;
        assert_eq!(tomas.get("/v1/me").await.status, 200);
    }
    let address = server.url.strip_prefix("https://").unwrap().to_owned();
    let connection = authority.connect(&address, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Whoever trusts somebody else does not talk to it.
    assert!(Authority::new().connect(&address, &[]).await.is_err());
    server.finish().await;
}

#[tokio::test]
async fn plain_http_to_it_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    put_pair(directory.path(), &Authority::new().pair(2090));
    let server = serving(directory.path()).await;
    let mut stream = TcpStream::connect(server.url.strip_prefix("https://").unwrap()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // An alert, and the end; or a reset when it was quicker.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("an end");
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    server.finish().await;
}

fn command(directory: &Path, what: &str) -> Command {
    let mut command = Command::new(SERVER);
    command.arg(what).arg("--config").arg(directory.join("gatepass.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

fn write_config(directory: &Path) {
    let text = format!("[server]\nname = \"test/gatepass\"\nlisten = \"127.0.0.1:0\"\n{}", section());
    std::fs::write(directory.join("gatepass.toml"), text).unwrap();
}

/// Starts the real server and reads its address.
async fn serve(directory: &Path) -> (Child, String) {
    write_config(directory);
    let mut child = command(directory, "serve").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
    (child, line.strip_prefix("listening on https://").expect("where it listens").to_owned())
}

/// Waits until the metric has this value.
async fn until_metric(http: &reqwest::Client, address: &str, line: &str) {
    let mut last = String::new();
    let reached = async {
        loop {
            let answer = http.get(format!("https://{address}/metrics")).send().await.unwrap();
            last = answer.text().await.unwrap();
            if last.lines().any(|l| l == line) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("no {line} in {last}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_what_does_not_fit_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (first, second) = (authority.pair(2090), authority.pair(2091));
    put_pair(directory.path(), &first);
    let (_server, address) = serve(directory.path()).await;
    let http = authority.http().pool_max_idle_per_host(0).build().unwrap();
    until_metric(&http, &address, &format!("gatepass_certificate_expires_seconds {ENDS_2090}")).await;
    let mut kept = authority.connect(&address, &[]).await.unwrap();
    assert_eq!(shown(&kept), der(&first));

    put_pair(directory.path(), &second);
    until_metric(&http, &address, &format!("gatepass_certificate_expires_seconds {ENDS_2091}")).await;
    let current = async || shown(&authority.connect(&address, &[]).await.unwrap());
    assert_eq!(current().await, der(&second));
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    kept.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "the connection from before: {said}");
    // In between, certificate and key did not fit: that was no failure.
    until_metric(&http, &address, "gatepass_certificate_reload_failures_total 0").await;

    // A key of another certificate, one that has ended, and none.
    put(directory.path(), KEY, &first.key);
    until_metric(&http, &address, "gatepass_certificate_reload_failures_total 1").await;
    put_pair(directory.path(), &authority.pair(2021));
    until_metric(&http, &address, "gatepass_certificate_reload_failures_total 2").await;
    std::fs::remove_file(directory.path().join(CERTIFICATE)).unwrap();
    until_metric(&http, &address, "gatepass_certificate_reload_failures_total 3").await;
    assert_eq!(current().await, der(&second));
    until_metric(&http, &address, &format!("gatepass_certificate_expires_seconds {ENDS_2091}")).await;

    put_pair(directory.path(), &first);
    until_metric(&http, &address, &format!("gatepass_certificate_expires_seconds {ENDS_2090}")).await;
    assert_eq!(current().await, der(&first));
}

#[tokio::test]
async fn one_that_ended_is_found_by_check_and_served_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ended = authority.pair(2021);
    put_pair(directory.path(), &ended);
    write_config(directory.path());
    let checked = command(directory.path(), "check").stderr(Stdio::piped()).output().await.unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success());
    assert!(said.contains("ended at 2021-01-01 00:00:00 UTC, expected one that is still valid"), "{said}");

    // Accesses have to be ended in time, whatever the certificate says.
    let (_server, address) = serve(directory.path()).await;
    let insecure = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    let ready = insecure.get(format!("https://{address}/readyz")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    assert!(authority.connect(&address, &[]).await.is_err());
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let authority = Authority::new();
    let (good, other) = (authority.pair(2090), authority.pair(2090));
    let parse = || {
        let text = format!("[server]\nname = \"test\"\n{}", section());
        let faults = Config::parse(&text, &path.join("gatepass.toml")).map_err(|e| e.lines.join("\n"));
        faults.map(|c| c.url_for("host:1")).unwrap_or_else(|e| e.replace(&path.display().to_string(), "DIR"))
    };
    let mut said = vec![parse()];
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate, key) in [
        (&*good.key, &*good.key),
        (text, &good.key),
        (&good.certificate, &good.certificate),
        (&good.certificate, &other.key),
        (&good.certificate, &good.key),
    ] {
        put(path, CERTIFICATE, certificate);
        put(path, KEY, key);
        said.push(parse());
    }
    std::fs::remove_file(path.join(KEY)).unwrap();
    said.push(parse());
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("tls_faults", said.join("\n\n"));
    });
    let ends = tls::expiry(&path.join(CERTIFICATE)).unwrap();
    assert_eq!(ends.timestamp(), ENDS_2090);
    assert!(ends > SystemClock.now());
}
