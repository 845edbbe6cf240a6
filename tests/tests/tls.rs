//! The real client with a server that does TLS itself, under a certificate authority that the machine trusts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::process::Process;
use gatepass_tests::{Person, bins, eventually};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const CONFIG: &str = r#"
[server]
name = "example.com/gatepass"
listen = "127.0.0.1:0"

[server.tls]
certificate_file = "certificate.pem"
key_file = "key.pem"

[[target]]
id = "sample"
kind = "sample"

[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "sample"

[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend"]
approve = []
default = "1h"
max = "8h"
"#;

/// A certificate for 127.0.0.1 with its key, and in `authority.pem` who vouches for it.
fn write_certificates(directory: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(directory.join("authority.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    fs::write(directory.join("certificate.pem"), certificate).unwrap();
    fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn the_client_trusts_what_the_machine_trusts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_certificates(path);
    fs::write(path.join("gatepass.toml"), CONFIG).unwrap();
    let server = |what: &str| {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg(what).arg("--config").arg(path.join("gatepass.toml"));
        command
    };
    let (_server, line) = Process::start_until_line("server", &server("serve"), path);
    let url = line.strip_prefix("listening on ").expect("where it listens");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let mut invite = server("invite");
    invite.args(["--person", "tomas", "--name", "Tomas", "--groups", "backend", "--json"]);
    let invited: Value = serde_json::from_slice(&invite.output().unwrap().stdout).expect("JSON");
    let link = invited["link"].as_str().unwrap();

    let mut env = vec![("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
    let stranger = Person::new("stranger", "Stranger", "", path, &env);
    assert_eq!(stranger.try_json(&["join", link]).unwrap_err().code, "certificate_mismatch");

    env.push(("SSL_CERT_FILE".to_owned(), path.join("authority.pem").display().to_string()));
    let tomas = Person::new("tomas", "Tomas", "backend", path, &env);
    tomas.json(&["join", link]);
    // Also the stream of hints, with which it waits.
    let request = tomas.json(&["request", "orders-db/read", "--for", "10m", "--wait"]);
    let id = request["id"].as_str().unwrap().to_owned();
    tomas.json(&["return", &id]);
    eventually("it ended", async || tomas.grant(&id).filter(|g| g["state"] == "ended")).await;
}
