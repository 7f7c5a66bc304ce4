//! Dropping what is known of a folder, where both sides are to be compared from nothing.

use rusqlite::Connection;

use crate::model::FolderId;
use crate::store::base::{dirs, hash_cache};
use crate::store::db::error::Step;
use crate::store::queue::install_intent;
use crate::store::remote::compare::compare_again;

/// Drops all that is known of a folder except the folder itself.
pub(crate) fn drop_rows(conn: &Connection, folder: FolderId) -> Step<()> {
    let id = [folder.0];
    // A batch whose call may be under way stays, even with nothing left in it: its job must end before another begins. What became of the
    // changes of other folders in it is then looked up, since the server's answer counts entries that are no longer known.
    conn.execute("DELETE FROM change WHERE folder = ?1", id)?;
    conn.execute("DELETE FROM job WHERE folder = ?1", id)?;
    hash_cache::keep_of_base(conn, folder)?;
    conn.execute("DELETE FROM base WHERE dir IN (SELECT id FROM dir WHERE folder = ?1)", id)?;
    dirs::drop_all(conn, folder)?;
    conn.execute("DELETE FROM conflict WHERE folder = ?1", id)?;
    // What a file of patterns hides was in sync once, and is told for as long as it is hidden: without base, no scan could tell it again.
    conn.execute("DELETE FROM odd WHERE folder = ?1 AND code <> 'ignore_file'", id)?;
    install_intent::drop_all(conn, folder)?;
    conn.execute("DELETE FROM deletion WHERE folder = ?1", id)?;
    conn.execute("UPDATE tally SET last_synced_at = NULL WHERE folder = ?1", id)?;
    compare_again(conn)
}
