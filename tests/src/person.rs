//! A person at the command line.

use crate::{Server, bins};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One person's device; `gatepass` and the desktop share it.
pub struct Person {
    /// The handle, which is the profile's name too.
    pub handle: String,
    pub name: String,
    groups: String,
    auditor: bool,
    admin: bool,
    home: PathBuf,
    env: Vec<(String, String)>,
}

/// How a command that was refused ended.
#[derive(Debug, PartialEq)]
pub struct Refused {
    pub exit: i32,
    pub code: String,
    pub message: String,
}

impl Person {
    /// Somebody who has joined nothing yet. State goes under `home`; `env` says which keyring.
    pub fn new(handle: &str, name: &str, groups: &str, home: &Path, env: &[(String, String)]) -> Self {
        Self {
            handle: handle.to_owned(),
            name: name.to_owned(),
            groups: groups.to_owned(),
            auditor: false,
            admin: false,
            home: home.to_owned(),
            env: env.to_vec(),
        }
    }

    /// One who sees everything.
    pub fn auditor(mut self) -> Self {
        self.auditor = true;
        self
    }

    /// One who may end anything of anybody.
    pub fn admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// A link that enrols one device of this person.
    pub fn invite(&self, server: &Server) -> String {
        let roles = [(self.auditor, "--auditor"), (self.admin, "--admin")];
        let more: Vec<&str> = roles.into_iter().filter(|(is, _)| *is).map(|(_, option)| option).collect();
        server.invite(&self.handle, &self.name, &self.groups, &more)
    }

    /// Joins at the command line.
    pub fn join(&self, server: &Server) {
        self.json(&["join", &self.invite(server)]);
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `gatepass --profile HANDLE …`, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(bins::path("gatepass"));
        command.envs(self.env.iter().cloned()).env("GATEPASS_HOME", &self.home);
        command.args(["--profile", &self.handle]).args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("run gatepass")
    }

    /// The one JSON document of a command that succeeds.
    pub fn json(&self, args: &[&str]) -> Value {
        self.try_json(args).unwrap_or_else(|refused| panic!("{} {args:?}: {refused:?}", self.handle))
    }

    /// The one JSON document, or how it was refused.
    pub fn try_json(&self, args: &[&str]) -> Result<Value, Refused> {
        let output = self.run(&[&["--json"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
                panic!(
                    "{args:?} printed something else than JSON ({e}): {}{said}",
                    String::from_utf8_lossy(&output.stdout)
                )
            }));
        }
        let error =
            said.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
        let text = |key: &str| error["error"][key].as_str().unwrap_or_default().to_owned();
        let message = if error.is_null() { said.clone() } else { text("message") };
        Err(Refused { exit: output.status.code().unwrap_or(-1), code: text("code"), message })
    }

    /// The grant of a request, as this person sees it.
    pub fn grant(&self, request: &str) -> Option<Value> {
        let grants = self.json(&["grants", "--all"]);
        grants.as_array().expect("an array").iter().find(|g| g["request"] == request).cloned()
    }
}
