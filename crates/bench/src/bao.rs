//! A private OpenBao with raft on disk, that makes and takes back logins on a PostgreSQL: what is measured beside.

use crate::Outcome;
use gatepass_testkit::Postgres;
use gatepass_testkit::postgres::{ADMIN, ADMIN_PASSWORD};
use gatepass_tests::bins;
use gatepass_tests::process::Process;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Ended and removed when dropped.
pub struct Bao {
    _running: Process,
    _dir: TempDir,
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Bao {
    /// With the role `reader`, whose logins get `orders_reader` as ours do, from the same admin. What ends one is said
    /// to it: what it says by itself needs an owner of the tables, and ends no session.
    pub async fn before(orders: &Postgres) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("gatepass-bench-bao-").tempdir()?;
        let free = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
        let (address, cluster) = (free()?, free()?);
        let data = dir.path().join("raft");
        fs::create_dir(&data)?;
        let config = dir.path().join("bao.hcl");
        let text = format!(
            "storage \"raft\" {{\n  path = {:?}\n  node_id = \"bench\"\n}}\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n\
             api_addr = \"http://{address}\"\ncluster_addr = \"http://{cluster}\"\n",
            data.display().to_string()
        );
        fs::write(&config, text)?;
        let mut command = Command::new(bins::tool("bao"));
        command.arg("server").arg("-config").arg(&config).args(["-log-level", "warn"]);
        let running = Process::start("bao", &command, dir.path());
        let http = reqwest::Client::builder().build()?;
        let mut bao = Self {
            _running: running,
            _dir: dir,
            http,
            url: format!("http://{address}/v1"),
            token: String::new(),
        };
        bao.open().await?;
        bao.prepare(orders).await?;
        Ok(bao)
    }

    /// Waits until it answers, makes its keys, and waits until it leads itself.
    async fn open(&mut self) -> Outcome<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while self.http.get(format!("{}/sys/seal-status", self.url)).send().await.is_err() {
            if Instant::now() > until {
                return Err("OpenBao does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let made = self.post("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await?;
        let key = made.pointer("/keys_base64/0").ok_or("no key to unseal with")?;
        self.post("sys/unseal", json!({"key": key})).await?;
        self.token = made["root_token"].as_str().ok_or("no token")?.to_owned();
        while !self.http.get(format!("{}/sys/health", self.url)).send().await?.status().is_success() {
            if Instant::now() > until {
                return Err("OpenBao does not become active".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn prepare(&self, orders: &Postgres) -> Outcome<()> {
        self.post("sys/mounts/database", json!({"type": "database"})).await?;
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/orders?sslmode=disable",
            orders.port()
        );
        self.post(
            "database/config/orders",
            json!({
                "plugin_name": "postgresql-database-plugin",
                "connection_url": url,
                "username": ADMIN,
                "password": ADMIN_PASSWORD,
                "allowed_roles": ["reader"],
                "password_authentication": "scram-sha-256",
            }),
        )
        .await?;
        self.post(
            "database/roles/reader",
            json!({
                "db_name": "orders",
                "creation_statements": [
                    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
                    "GRANT orders_reader TO \"{{name}}\"",
                ],
                "revocation_statements": [
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
                    "DROP ROLE IF EXISTS \"{{name}}\"",
                ],
                "default_ttl": "1h",
                "max_ttl": "8h",
            }),
        )
        .await?;
        Ok(())
    }

    /// A new login: its lease, and its name.
    pub async fn create(&self) -> Outcome<(String, String)> {
        let request = self.http.get(format!("{}/database/creds/reader", self.url));
        let answer = read(request.header("X-Vault-Token", &self.token).send().await?).await?;
        let text = |at: &str| answer.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let lease = text("/lease_id").ok_or("no lease")?;
        text("/data/password").ok_or("no password")?;
        Ok((lease, text("/data/username").ok_or("no login")?))
    }

    /// Answers when the login is gone.
    pub async fn revoke(&self, lease: &str) -> Outcome<()> {
        self.post("sys/leases/revoke", json!({"lease_id": lease, "sync": true})).await.map(drop)
    }

    async fn post(&self, path: &str, body: Value) -> Outcome<Value> {
        let request = self.http.post(format!("{}/{path}", self.url)).json(&body);
        read(request.header("X-Vault-Token", &self.token).send().await?).await
    }
}

async fn read(answer: reqwest::Response) -> Outcome<Value> {
    let (status, bytes) = (answer.status(), answer.bytes().await?);
    if !status.is_success() {
        return Err(format!("OpenBao answers {status}: {}", String::from_utf8_lossy(&bytes)).into());
    }
    Ok(if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? })
}
