//! `connector test`: puts a target's connector through what every connector promises.

use clap::{Args, Subcommand};
use gatepass_connectors::checks::{CHECKS, Checks, Finding, Left, Plan, Verdict};
use gatepass_connectors::{Connector as Port, Forgetful, Holder};
use gatepass_core::id::{GrantId, PersonId};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::config::{Kind, Target};
use gatepass_server::{Config, connector};
use rand::RngCore as _;
use rand::rngs::OsRng;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use uuid::Uuid;

#[derive(Args)]
pub struct Connector {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Give and take away accesses of its own on a target, and say which promises of a connector hold there; exits
    /// with 1 when any does not. What else is on the target stays, and no server may serve the target meanwhile.
    Test(Test),
}

#[derive(Args)]
struct Test {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[arg(long, value_name = "ID")]
    target: String,
    /// Whom to give access to; given twice, two people. Needed where the target has to know them.
    #[arg(long = "person", value_name = "HANDLE")]
    people: Vec<String>,
    /// What to give, with commas, instead of what the target's first role in the catalogue gives.
    #[arg(long, value_delimiter = ',')]
    grants: Vec<String>,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

impl Connector {
    /// Answers whether everything holds.
    pub async fn run(self) -> Result<bool, Box<dyn Error>> {
        match self.verb {
            Verb::Test(test) => test.run().await,
        }
    }
}

impl Test {
    async fn run(self) -> Result<bool, Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let target = self.target(&config)?;
        let plan = self.plan(&config, target)?;
        // Notes in this process only: the server's own are not touched.
        let connector = connector(target, Arc::new(Forgetful::default()))?;
        let mut told = Told::new()?;
        self.announce(&*connector, &plan).await;

        let checks = Checks::new(&*connector, plan);
        let mut findings = Vec::new();
        let whole = {
            let run = checks.run(|finding| {
                if !self.json {
                    println!("{}", line(&finding));
                }
                findings.push(finding);
            });
            tokio::select! {
                () = run => true,
                () = told.once() => false,
            }
        };
        if !whole {
            eprintln!("Stopped; taking away what was given. Once more, and it stays.");
        }
        let left = tokio::select! {
            left = checks.clean() => left,
            () = told.once() => return Err("stopped; what was given may still be on the target".into()),
        };
        let failed = findings.iter().any(|f| f.verdict == Verdict::Fail);
        let good = whole && !failed && left.is_empty();
        if self.json {
            println!("{}", self.document(good, whole, &findings, &left));
        } else {
            self.conclude(&checks, good, &findings, &left);
        }
        Ok(good)
    }

    fn target<'a>(&self, config: &'a Config) -> Result<&'a Target, String> {
        config.targets.iter().find(|target| target.id == self.target).ok_or_else(|| {
            let known: Vec<_> = config.targets.iter().map(|target| target.id.as_str()).collect();
            format!(
                "there is no target “{}” in {}; it has: {}",
                self.target,
                config.file.display(),
                known.join(", ")
            )
        })
    }

    fn plan(&self, config: &Config, target: &Target) -> Result<Plan, String> {
        let of_catalogue = || {
            let resource = config.catalogue.resources.iter().find(|r| r.target == target.id);
            resource.and_then(|r| r.roles.first()).map(|role| role.grants.clone())
        };
        let grants =
            if self.grants.is_empty() { of_catalogue().unwrap_or_default() } else { self.grants.clone() };
        if grants.is_empty() {
            return Err(format!(
                "no role gives anything on “{}”; say what to give: --grants NAME,…",
                target.id
            ));
        }
        let (one, other) = match self.people.as_slice() {
            [] if matches!(target.kind, Kind::Ldap { .. }) => {
                return Err("the directory has to know the person; say who: --person HANDLE".to_owned());
            }
            [] => (somebody("gatepass-test-1"), Some(somebody("gatepass-test-2"))),
            [one] => (somebody(one), None),
            [one, other] if one != other => (somebody(one), Some(somebody(other))),
            _ => return Err("--person is for one person or for two".to_owned()),
        };
        Ok(Plan { grants, one, other, now: SystemClock.now(), grant: || GrantId(Uuid::now_v7()) })
    }

    /// Says what will happen before it does.
    async fn announce(&self, connector: &dyn Port, plan: &Plan) {
        let people: Vec<_> = [Some(&plan.one), plan.other.as_ref()].into_iter().flatten().collect();
        let people: Vec<_> = people.into_iter().map(|holder| holder.handle.as_str()).collect();
        let mut says = format!(
            "On the target “{}”, some 30 accesses of this test’s own are given to {} and taken away again: {}.",
            self.target,
            people.join(" and "),
            plan.grants.join(", ")
        );
        if let Ok(found) = connector.inspect().await {
            let _ = write!(says, " {} accesses of others are on it now, and are not touched.", found.len());
        }
        eprintln!(
            "{says}\nA server that serves this target would take them for drift and remove them: stop it meanwhile, \
             or use a target of its own."
        );
    }

    fn conclude(&self, checks: &Checks<'_>, good: bool, findings: &[Finding], left: &[Left]) {
        for Left { grant, why } in left {
            println!("left  an access of grant {grant}: {why}");
        }
        match checks.running_out() {
            0 => {}
            count => println!(
                "note  {count} accesses are taken away as far as the target lets us, and run out by themselves"
            ),
        }
        let passed = findings.iter().filter(|f| f.verdict == Verdict::Pass).count();
        let (word, all) = (if good { "good" } else { "not good" }, CHECKS.len());
        println!("{word}: {passed} of {all} checks passed on “{}”", self.target);
    }

    fn document(&self, good: bool, whole: bool, findings: &[Finding], left: &[Left]) -> serde_json::Value {
        let checks = findings.iter().map(|f| {
            serde_json::json!({
                "check": f.check, "verdict": word(f.verdict), "expected": f.expected,
                "found": if f.found.is_empty() { None } else { Some(&f.found) },
            })
        });
        let left = left.iter().map(|l| serde_json::json!({"grant": l.grant, "why": l.why}));
        serde_json::json!({
            "target": self.target,
            "passed": good,
            "complete": whole,
            "checks": checks.collect::<Vec<_>>(),
            "left": left.collect::<Vec<_>>(),
        })
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Skip => "skip",
    }
}

fn line(finding: &Finding) -> String {
    let Finding { check, verdict, expected, found } = finding;
    match verdict {
        Verdict::Pass => format!("pass  {check}: {expected}"),
        Verdict::Fail => format!("FAIL  {check}: expected: {expected}; but: {found}"),
        Verdict::Skip => format!("skip  {check}: {found}"),
    }
}

/// With a public key that nobody has the private one of: its certificates let nobody in.
fn somebody(handle: &str) -> Holder {
    const TYPE: &[u8] = b"ssh-ed25519";
    let mut blob = vec![0, 0, 0, 11];
    blob.extend_from_slice(TYPE);
    blob.extend_from_slice(&[0, 0, 0, 32]);
    let mut key = [0; 32];
    OsRng.fill_bytes(&mut key);
    blob.extend_from_slice(&key);
    use base64::Engine as _;
    let line = format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob));
    Holder { person: PersonId(Uuid::now_v7()), handle: handle.to_owned(), ssh_key: Some(line) }
}

/// Somebody wants it to end.
struct Told {
    interrupt: Signal,
    terminate: Signal,
}

impl Told {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn once(&mut self) {
        let (interrupt, terminate) = (pin!(self.interrupt.recv()), pin!(self.terminate.recv()));
        tokio::select! {
            _ = interrupt => {}
            _ = terminate => {}
        }
    }
}
