//! A directory as a target, asked by the program itself.

use gatepass_testkit::Slapd;
use gatepass_testkit::slapd::{ACCOUNT, ACCOUNT_PASSWORD, GROUPS, PEOPLE};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn examined(folder: &Path, slapd: &Slapd, group: &str) -> Vec<(String, String, String)> {
    let text = format!(
        r#"
[server]
name = "example.com/gatepass"
[[target]]
id = "directory"
kind = "ldap"
url = "{}"
bind_dn = "{ACCOUNT}"
password_file = "password"
people = {{ base = "{PEOPLE}", filter = "(mail={{person}})" }}
[[resource]]
id = "oncall"
name = "On call"
environment = "production"
target = "directory"
[[resource.role]]
id = "use"
name = "Use"
grants = ["cn={group},{GROUPS}"]
ask = ["backend"]
approve = []
default = "1h"
max = "1h"
"#,
        slapd.url()
    );
    std::fs::write(folder.join("gatepass.toml"), text).unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_gatepass-server"));
    let said =
        doctor.args(["doctor", "--json", "--config"]).arg(folder.join("gatepass.toml")).output().unwrap();
    let found: Vec<Value> = serde_json::from_slice(&said.stdout).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let about = |f: &Value| text(f, "about").starts_with("target.");
    found
        .iter()
        .filter(|f| about(f))
        .map(|f| (text(f, "about"), text(f, "verdict"), text(f, "says")))
        .collect()
}

#[test]
fn the_doctor_looks_at_the_directory_and_its_groups() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), ACCOUNT_PASSWORD).unwrap();
    let slapd = Slapd::start();
    slapd.change(&format!(
        "dn: cn=oncall,{GROUPS}\nobjectClass: groupOfNames\ncn: oncall\nmember: uid=tomas,{PEOPLE}\n"
    ));
    let good = examined(folder.path(), &slapd, "oncall");
    let all: Vec<_> = good.iter().map(|(about, verdict, _)| (about.as_str(), verdict.as_str())).collect();
    assert_eq!(all, [("target.login", "ok"), ("target.rights", "ok")], "{good:?}");
    let bad = examined(folder.path(), &slapd, "missing");
    assert_eq!(bad[1].1, "fail", "{bad:?}");
    assert!(bad[1].2.contains("cn=missing"), "{bad:?}");
    std::fs::write(folder.path().join("password"), "wrong").unwrap();
    let bad = examined(folder.path(), &slapd, "oncall");
    assert!(bad[0].1 == "fail" && bad[0].2.contains("bind_dn or its password is wrong"), "{bad:?}");
}
