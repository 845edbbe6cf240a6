//! What docs/connectors/mariadb-admin.sql makes, made by the login itself where that may do all of it: then nobody has
//! to run the script. One that may not is told to have it run, as it should be.

use super::Mariadb;
use super::entitlement::{self, Entitlement};
use super::failed;
use crate::TargetError;

const SCRIPT: &str = include_str!("../../../../docs/connectors/mariadb-admin.sql");
/// The login that the script is written for.
const LOGIN: &str = "gatepass_admin";

impl Mariadb {
    /// Tries to make what is missing for `error` not to come again; answers whether it is worth trying.
    pub(super) async fn make_missing(&self, error: &TargetError, grants: &[String]) -> bool {
        let admin = self.link.place().admin();
        let plain = admin.len() <= 40 && admin.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let TargetError::Configuration(said) = error else { return false };
        let no_script = failed::no_script(error);
        // Nothing else is mended by giving the owner more.
        let lacks = said.contains("lacks WITH ADMIN OPTION") || said.contains("command denied");
        if !plain || !(no_script || lacks) {
            return false;
        }
        let mut todo = Vec::new();
        if no_script {
            todo.extend(statements(&for_login(admin), admin));
        }
        let given = grants.iter().filter_map(|g| entitlement::parse(g).ok()).map(|g| hand_on(&g, admin));
        todo.extend(given);
        match self.link.run(&todo).await {
            Ok(()) => true,
            Err(refused) => {
                tracing::debug!(%refused, "the login may not set the target up by itself");
                false
            }
        }
    }
}

fn for_login(admin: &str) -> String {
    let escaped = |name: &str| name.replace('_', "\\_");
    SCRIPT.replace(LOGIN, admin).replace(&escaped(LOGIN), &escaped(admin))
}

/// One by one, as `mariadb` would send them; without those about the login itself, which is there.
fn statements(script: &str, admin: &str) -> Vec<String> {
    let login = format!("{admin}@'%'");
    let (mut all, mut one, mut end) = (Vec::new(), String::new(), ";");
    for line in script.lines().filter(|line| !line.trim_start().starts_with("--")) {
        if let Some(other) = line.strip_prefix("DELIMITER ") {
            end = if other.trim() == ";" { ";" } else { "//" };
            continue;
        }
        one.push_str(line);
        one.push('\n');
        if let Some(whole) = one.trim_end().strip_suffix(end) {
            if !whole.contains(&login) {
                all.push(whole.trim().to_owned());
            }
            one.clear();
        }
    }
    all
}

/// What the owner has to be given to hand it on.
fn hand_on(entitlement: &Entitlement, admin: &str) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    match entitlement {
        Entitlement::Role { role } => {
            format!("GRANT {} TO {admin}_owner@localhost WITH ADMIN OPTION", quoted(role))
        }
        Entitlement::Privileges { privileges, schema, table } => {
            let on = match table {
                Some(table) => format!("{}.{}", quoted(schema), quoted(table)),
                // Without the backslashes _ and % would stand for anything.
                None => {
                    let exact = schema.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%");
                    format!("{}.*", quoted(&exact))
                }
            };
            format!("GRANT {privileges} ON {on} TO {admin}_owner@localhost WITH GRANT OPTION")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_taken_apart_and_names_the_login() {
        let all = statements(&for_login("gp_two"), "gp_two");
        assert!(all.len() > 15, "{}", all.len());
        assert!(all.iter().all(|s| !s.contains("gatepass_admin") && !s.contains("DELIMITER")));
        assert!(all.iter().all(|s| !s.contains("@'%'")), "the login is there already");
        assert!(all[0].starts_with("SET SESSION sql_mode"), "{}", all[0]);
        let procedures = all.iter().filter(|s| s.contains("\nPROCEDURE gp_two.")).count();
        assert_eq!(procedures, SCRIPT.matches("\nPROCEDURE ").count());
    }
}
