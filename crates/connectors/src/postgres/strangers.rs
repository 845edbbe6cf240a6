//! Who holds a group role besides the logins that carry a tag.

use super::failed::Failed;
use super::session::Session;
use crate::Stranger;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Those that can log in and get one of the groups, directly or through other roles. A membership that neither inherits
/// nor lets anybody `SET ROLE` (16 and later: the right to hand on alone) gives nothing; before 16 every one does.
///
/// The tag of any Gatepass counts, since each looks after its own: only who may make roles can write a comment on one.
/// A path that leads over a tagged login does not: its holder gave it on.
const STRANGERS: &str = "
    WITH RECURSIVE
         given AS (SELECT m.roleid, m.member FROM pg_auth_members m
                    WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::bool
                                   OR (to_jsonb(m) ->> 'set_option')::bool, true)),
         holds AS (SELECT oid AS holder, rolname AS grp FROM pg_roles WHERE rolname = ANY ($1)
                    UNION
                   SELECT g.member, h.grp FROM holds h JOIN given g ON g.roleid = h.holder)
    SELECT r.rolname::text, array_agg(h.grp::text ORDER BY h.grp::text)
      FROM holds h JOIN pg_roles r ON r.oid = h.holder
      LEFT JOIN pg_shdescription d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass
     WHERE r.rolcanlogin AND r.rolname <> current_user
       AND NOT (r.rolname ~ '^gp_[0-9a-f]{32}$' AND coalesce(d.description, '') LIKE 'gatepass:%'
                AND replace(substr(d.description, 10, 36), '-', '') = substr(r.rolname, 4))
     GROUP BY r.rolname ORDER BY 1";

pub(super) async fn strangers(client: Arc<Session>, grants: &[String]) -> Result<Vec<Stranger>, Failed> {
    let rows = client.ask(STRANGERS, &[(&grants, Type::TEXT_ARRAY)]).await?;
    let all = rows.iter().map(|row| Ok(Stranger { name: row.try_get(0)?, grants: row.try_get(1)? }));
    all.collect()
}
