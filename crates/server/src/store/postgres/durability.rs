//! What a database that is set up like this one can lose, although it confirmed it.

use super::get;
use super::link::Link;
use super::step::Step;
use crate::store::StoreError;

/// One sentence for each; none when what is confirmed stays.
pub async fn risks(link: &Link) -> Result<Vec<String>, StoreError> {
    let rows = link
        .read(Step::new(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'),
                 current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication)",
        ))
        .await?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    Ok(sentences(get(row, 0)?, get(row, 1)?, get(row, 2)?, get(row, 3)?))
}

fn sentences(fsync: &str, full_page_writes: &str, synchronous: &str, standbys: i64) -> Vec<String> {
    let mut risks = Vec::new();
    if fsync == "off" {
        risks.push(
            "fsync is off: when the database’s machine fails, confirmed decisions can be lost, and the database with \
             them. Set fsync = on."
                .to_owned(),
        );
    }
    if full_page_writes == "off" {
        risks.push(
            "full_page_writes is off: when the database’s machine fails, its pages can be torn, unless its file system \
             prevents that. Set full_page_writes = on."
                .to_owned(),
        );
    }
    if standbys > 0 && synchronous.trim().is_empty() {
        let many = if standbys == 1 {
            "A standby follows".to_owned()
        } else {
            format!("{standbys} standbys follow")
        };
        risks.push(format!(
            "{many} and synchronous_standby_names is empty: a failover loses what was confirmed in the moments before \
             it. Name the standbys that must have a decision before it is confirmed, such as \
             synchronous_standby_names = 'ANY 1 (*)'."
        ));
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_lost_is_said() {
        assert!(sentences("on", "on", "", 0).is_empty());
        assert!(sentences("on", "on", "ANY 1 (*)", 2).is_empty());
        let all = sentences("off", "off", " ", 2);
        assert_eq!(all.len(), 3);
        assert!(all[2].starts_with("2 standbys follow"));
    }
}
