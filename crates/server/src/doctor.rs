//! `doctor`: one look at everything a server depends on. It changes nothing.

mod database;
mod log;
mod machine;
mod target;
mod witness;

use crate::Config;
use crate::clock::{Clock as _, SystemClock};
use crate::serve::shared_database;
use serde::Serialize;
use std::fmt::{Display, Formatter};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, and not as it should.
    Warn,
    /// It does not work, or not for long.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    /// What it is about, such as `database.listen`: stable.
    pub about: &'static str,
    pub says: String,
    /// What to do about it; none when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

fn ok(about: &'static str, says: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Ok, about, says: says.into(), todo: None }
}

fn warn(about: &'static str, says: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Warn, about, says: says.into(), todo: Some(todo.into()) }
}

fn fail(about: &'static str, says: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Fail, about, says: says.into(), todo: Some(todo.into()) }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(f, "{verdict:<4} {}: {}.", self.about, self.says)?;
        self.todo.as_ref().map_or(Ok(()), |todo| write!(f, " {todo}."))
    }
}

/// Looks at all that a server with this configuration depends on.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut found = machine::files(config);
    found.extend(machine::certificate(config, SystemClock.now()));
    found.push(machine::clock().await);
    found.push(machine::clock_went_on(&config.data, SystemClock.now()));
    match shared_database(config) {
        Ok(Some(options)) => {
            found.extend(database::examine(&options).await);
            found.extend(log::shared(&options, config).await);
        }
        Ok(None) => {
            found.extend(machine::data(&config.data));
            found.extend(log::embedded(config));
        }
        Err(error) => {
            found.push(fail(
                "database.password",
                error.to_string(),
                "Put the password where the configuration says",
            ));
        }
    }
    found.extend(witness::examine(config).await);
    found.extend(target::examine(config).await);
    found
}
