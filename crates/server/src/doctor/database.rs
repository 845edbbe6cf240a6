//! The shared database, judged by what it says of itself.

use super::{Finding, fail, ok, warn};
use crate::store::postgres::facts::{self, Facts};
use crate::store::postgres::{Options, schema};

/// The oldest PostgreSQL that is supported.
const OLDEST: i32 = 130_000;
/// Seconds between this machine's clock and the database's: worth a word, and wrong.
const APART: f64 = 2.0;
const WRONG: f64 = 60.0;
/// Dead rows in the outbox that each look has to step over.
const DEAD: i64 = 100_000;

pub async fn examine(options: &Options) -> Vec<Finding> {
    match facts::facts(options).await {
        Ok(facts) => judge(&facts, options.connections as i64),
        Err(error) => vec![fail(
            "database.reachable",
            error.to_string(),
            "Look whether it runs, whether this machine may reach it, and whether the password is its own",
        )],
    }
}

fn judge(facts: &Facts, connections: i64) -> Vec<Finding> {
    let mut found = vec![version(facts), of_schema(facts)];
    if facts.standby {
        found.push(fail(
            "database.primary",
            "it is a standby and takes no writes",
            "Name the primary in “database”, or all hosts with target_session_attrs=read-write",
        ));
    }
    if facts.risks.is_empty() {
        found.push(ok("database.durable", "what it confirms stays"));
    }
    found.extend(facts.risks.iter().map(|risk| {
        let (says, todo) = risk.trim_end_matches('.').rsplit_once(". ").unwrap_or((risk, "Change it"));
        warn("database.durable", says, todo)
    }));
    found.push(match &facts.deaf {
        None => ok("database.listen", "nodes can listen for each other"),
        Some(why) => warn(
            "database.listen",
            format!("nodes cannot listen for each other ({why}) and look every second instead"),
            "Set “direct” to the database itself",
        ),
    });
    found.push(room(facts, connections));
    found.push(transactions(facts));
    found.push(outbox(facts));
    found.push(clock(facts.ahead));
    found.push(nodes(facts));
    found.push(if facts.token_key {
        ok("database.token_key", "the key of the sessions is there")
    } else {
        warn(
            "database.token_key",
            "there is no key of the sessions yet",
            "The next start of a node makes one",
        )
    });
    found
}

fn version(facts: &Facts) -> Finding {
    let (major, minor) = (facts.version / 10_000, facts.version % 10_000);
    let says = format!("PostgreSQL {major}.{minor} answers");
    if facts.version >= OLDEST {
        ok("database.reachable", says)
    } else {
        fail("database.reachable", says, "Upgrade it: 13 is the oldest that is supported")
    }
}

fn of_schema(facts: &Facts) -> Finding {
    const ABOUT: &str = "database.schema";
    let known = schema::known();
    let level = facts.applied.last().map_or(0, |(version, _)| *version);
    if let Some((version, name)) = schema::too_new(&facts.applied, &known) {
        let says = format!("a newer version took away what this one needs (V{version}__{name})");
        return fail(ABOUT, says, "Run the newer version");
    }
    let pending: Vec<String> =
        known.iter().filter(|m| m.version() > level).map(ToString::to_string).collect();
    if level < schema::needed(&known) {
        let says = format!("the schema is at V{level}; {} are missing", pending.join(", "));
        fail(ABOUT, says, "Run “gatepass-server migrate” with the role that owns it")
    } else if pending.is_empty() {
        ok(ABOUT, format!("the schema is at V{level}"))
    } else {
        let says = format!("the schema is at V{level}; {} waits", pending.join(", "));
        warn(ABOUT, says, "Run “gatepass-server migrate” when all nodes have this version")
    }
}

fn room(facts: &Facts, each: i64) -> Finding {
    const ABOUT: &str = "database.connections";
    let (most, used) = facts.connections;
    let most = facts.of_role.map_or(most, |of_role| most.min(of_role));
    // Beside its pool, every node has one that listens.
    let nodes = (facts.nodes.len() as i64).max(1);
    let needed = nodes * (each + 1);
    let says = format!("{used} connections are open of {most}; {nodes} nodes may use {needed}");
    let todo = "Raise max_connections, lower “connections”, or put a pooler in front";
    if used >= most {
        fail(ABOUT, says, todo)
    } else if needed > most {
        warn(ABOUT, says, todo)
    } else {
        ok(ABOUT, says)
    }
}

fn transactions(facts: &Facts) -> Finding {
    const ABOUT: &str = "database.transactions";
    match facts.long.first() {
        None => ok(ABOUT, "no transaction that this role may see has been open for five minutes"),
        Some((who, seconds)) => warn(
            ABOUT,
            format!("a transaction of {who} has been open for {} minutes", seconds / 60),
            "End it: until then vacuum clears nothing away, and the database becomes slower",
        ),
    }
}

fn outbox(facts: &Facts) -> Finding {
    const ABOUT: &str = "database.outbox";
    let (waiting, dead) = facts.outbox;
    if waiting > 0 && facts.nodes.is_empty() {
        return warn(
            ABOUT,
            format!("{waiting} events wait for their place in the log, and no node runs"),
            "Start one: it places them",
        );
    }
    if dead > DEAD {
        return warn(
            ABOUT,
            format!("{dead} dead rows are in the outbox"),
            "End long transactions and VACUUM outbox; see whether autovacuum is on",
        );
    }
    ok(ABOUT, format!("{waiting} events wait for their place in the log, {dead} rows are to be vacuumed"))
}

fn clock(ahead: f64) -> Finding {
    const ABOUT: &str = "clock.database";
    let says = format!(
        "this machine’s clock is {:.1} s {} the database’s",
        ahead.abs(),
        if ahead < 0.0 { "behind" } else { "ahead of" }
    );
    let todo = "Have a time server set both: accesses end by the database’s clock";
    match ahead.abs() {
        apart if apart > WRONG => fail(ABOUT, says, todo),
        apart if apart > APART => warn(ABOUT, says, todo),
        _ => ok(ABOUT, says),
    }
}

fn nodes(facts: &Facts) -> Finding {
    const ABOUT: &str = "nodes";
    let mut versions: Vec<&str> = facts.nodes.iter().map(|node| node.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let names: Vec<String> =
        facts.nodes.iter().map(|node| format!("{} ({})", node.name, node.version)).collect();
    match versions.len() {
        0 => {
            warn(ABOUT, "no node was seen in the last minute", "Start one: accesses end only while one runs")
        }
        1 => ok(ABOUT, format!("{} run: {}", names.len(), names.join(", "))),
        _ => warn(ABOUT, format!("different versions run: {}", names.join(", ")), "Finish the upgrade"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use crate::store::postgres::facts::Node;

    #[test]
    fn what_no_test_can_make_happen_is_judged_all_the_same() {
        let node = |version: &str| Node { name: "a".to_owned(), version: version.to_owned(), schema: 2 };
        let facts = Facts {
            nodes: vec![node("1"), node("2")],
            version: 120_010,
            connections: (97, 97),
            ..Facts::default()
        };
        assert_eq!(nodes(&facts).verdict, Verdict::Warn);
        assert_eq!(version(&facts).verdict, Verdict::Fail);
        assert_eq!(room(&facts, 16).verdict, Verdict::Fail);
        assert_eq!(room(&Facts { connections: (30, 5), ..facts.clone() }, 16).verdict, Verdict::Warn);
        assert_eq!(outbox(&Facts { outbox: (0, DEAD + 1), ..facts.clone() }).verdict, Verdict::Warn);
        let long = transactions(&Facts { long: vec![("report (psql)".to_owned(), 400)], ..facts });
        assert!(long.says.contains("report (psql) has been open for 6 minutes"), "{}", long.says);
        assert_eq!(
            [0.5, -3.0, 61.0].map(|ahead| clock(ahead).verdict),
            [Verdict::Ok, Verdict::Warn, Verdict::Fail]
        );
    }
}
