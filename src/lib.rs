//! **ferrybox**: a long-running, headless Dropbox sync daemon.
//!
//! This page is the map; `docs/architecture.md` follows a save, a remote edit and a deletion through it, and `docs/glossary.md` has the words. It stays true: a test reads
//! the `use` lines of every file against the table below.
//!
//! # Five ideas
//! 1. **Three views of a path**: local (the disk), remote (Dropbox's listing), base (what both last agreed on). A pure function,
//!    [`plan::reconcile`], turns them into one action; nothing is decided anywhere else.
//! 2. **Rows mean "look at this path again"**, never "upload this file". A stale, doubled or reordered row is harmless.
//! 3. **Tasks meet only in the store.** Its methods are transactions named for the step that they complete; wake-ups carry no data.
//! 4. **One committer an account** makes every change to Dropbox's tree, one job at a time, in batches, with the job's id stored before it is polled.
//! 5. **Doubt never destroys.** A view can be unknown. A deletion needs complete evidence, base's revision on the other side, the root's
//!    identity checked in the same round, and the guard's consent.
//!
//! # The data's way up
//! ```text
//!  kernel - local::Watcher -> Seen::Path | Rescan             local::scan -> every directory, then what base has and the disk has not
//!                               |
//!             engine/intake ----+   plan::name::ignore, plan::time::debounce, plan::reconcile::diff
//!                               v
//!       1  store.enqueue(paths)          one row a path, generation += 1; a run of changes puts it off, but not for ever
//!                               |
//!      engine/work/worker (N) -----+   store.claim(up to a pack) -> rows + base . observe . plan::reconcile
//!                               |     engine/work/upload/pack:   many small files: store.begin_pack, append_batch closes the sessions of the start_batch pool
//!                               |     engine/work/upload/large:  one large file: store.begin_parts, parts in parallel, store.put_part, the closing part last
//!                               v
//!       2  store.stage(row, RemoteChange)
//!                               |
//!      engine/commit/committer (1) ----+   plan::commit::batch (count, bytes, age) . store.begin_batch . call . store.launched . poll . plan::commit::outcome
//!                               v
//!       3  store.settle_batch            base := committed; the row goes if its generation is unchanged
//! ```
//! # The remote cache
//! ```text
//!  list_folder(recursive) / continue / longpoll -> model::listing::Page
//!                               |
//!         engine/listing/reconciler ----+   engine/listing/follower: which call is next . plan::listing::rule, entry by entry
//!                               v
//!       1  store.stage_page(page)        entries + cursor in one step; a reset fills a second tree beside the one in use
//!       2  store.adopt_listing           a complete and believable tree takes the other's place, for every reader at once
//!       3  store.compare_listing         when a run of pages has ended: rows for paths of base whose remote view differs, and where things
//!                                        come down for paths that only Dropbox has, too
//! ```
//! Before 3, where things come down, `engine/listing/inbound_guard` weighs what the comparison would delete or overwrite, with what came down
//! recently: a wave waits for a person, in slices too ([`plan::delete::inbound`]). What was let through there passes the guard, for exactly those files.
//!
//! Workers look a row's remote view up in it (`Remote::Unlisted` while in doubt), and adopt what Dropbox has already. `ferrybox ls` reads the
//! database itself.
//!
//! # Local moves
//! A worker that is about to send a new file asks base for its inode; if base knows it elsewhere, a move is proposed ([`plan::rename::detect`], `engine/rename_proposals`),
//! and the committer looks at it, stages it and makes it (`engine/commit/renames`). Until it is settled nothing is claimed in that folder and nothing compared
//! with the listing. Settling gives base its new keys; revisions below a moved directory come with the listing. What changed places with each other is looked
//! at and staged together ([`plan::rename::cycles`]) and made one after the other, the first by way of a free name, under which base knows it meanwhile.
//!
//! # Local copies
//! A new file of some size whose content base has elsewhere is copied in Dropbox ([`plan::rename::dedup_copy`], `engine/work/upload/dedup_copy`): the worker stages the copy
//! in the upload's place, and nothing else waits for it.
//!
//! # The data's way down
//! In folders whose remote changes come down (`two-way`, `download`) a comparison also makes rows for what only Dropbox has. A worker decides them by
//! [`plan::reconcile`]; `engine/work/apply` carries out what needs no network, `engine/work/download` downloads into `.ferrybox/tmp` and exchanges the result with what
//! stands there, if that is still what was looked at. Deletions here are staged like deletions there, so that one guard sees both, and `engine/local_removal`
//! carries them out, and purges what has been in the trash for long enough by a clock of its own ([`plan::delete::trash_age`]). What a program wrote to a file that
//! had gone there, and what a crash left beside its place, `engine/rescue` brings back as a conflicted copy. Between our own commit and the page that tells of it, `engine/gather/fence` keeps the cache from being believed about that path.
//!
//! Names in other letters: an entry that the listing shows under another name of the same key since the last change is renamed here by
//! `engine/work/apply` by the rule in `plan::reconcile::letters`, and base goes along; what is new below a directory that is here in other letters comes into that one. A move of another
//! device by way of a free name is not followed before it has ended (`engine/gather/fence`).
//!
//! What is left out (`ignore`, `exclude`) is forgotten in base by `engine/folder/unsynced`, so that no absence there is ever a deletion. Marks of what is
//! listed (read-only, symlink, not downloadable) bound what may be done: `plan::reconcile::marks`. `api/restore` puts earlier versions back.
//!
//! # What goes from Dropbox
//! A deletion that is decided for a path is staged. Whether those of a folder may go says one function, [`plan::delete::consent`], which lists every condition:
//! `engine/commit/deletions` finds out about one after the other, `engine/commit/pending_renames` among them whether a file may only have been moved. Right
//! before the call each path is looked at again ([`plan::delete::last_look`], `engine/commit/last_look`). Files go each at its revision, folders after their
//! files in one entry, and not before a last listing of them has shown that nothing came in from elsewhere ([`plan::delete::preflight`],
//! `engine/commit/preflight`). What goes here because it went in Dropbox waits for the same consent, and for a look of its own ([`plan::delete::removal`]).
//!
//! # Asking without doing
//! [`plan::reconcile::decide`] asks for each fact that it needs, and `engine/gather/facts` gathers it; a failed read is never a fact.
//! `explain`, `plan` and the look at rest run the same loop as the workers (`engine/work/preview`), claim nothing and settle
//! nothing. `history` is written by the steps that settle, in their own transactions, and cut off at its beginning.
//!
//! # Rooms, and who may know whom
//! | room | holds | may know |
//! |---|---|---|
//! | [`model`] | data only | std, serde, sha2 |
//! | [`plan`] | pure rules: no clock, disk, network, async | model |
//! | [`store`] | SQLite, all SQL | env, model |
//! | [`local`] | the disk, through one confined handle a root | env, model |
//! | [`dropbox`] | the wire: client, tokens, credentials, errors, rate gates | env, model |
//! | [`control`] | the local socket | env, model |
//! | [`config`] | files and environment to one checked value | model |
//! | [`logging`] | where log lines go | config |
//! | [`env`](mod@env) | the clock, chance, waiting, threads that may block | model |
//! | [`engine`] | what one account does: its tasks, and what they share | config, dropbox, env, local, model, plan, store |
//! | [`api`] | the answers to what people and programs ask | as `engine`, and control, engine |
//! | [`daemon`] | the process: opening, locks, the service manager, the end of `run --once` | as `api`, and api |
//! | [`cli`] | one file a command | api, config, control, daemon, dropbox, env, logging, model |
//!
//! Another test knows every circle of files that still stands, and lets none be added.
//!
//! # What survives a crash
//! Rows, base, unused upload sessions, sessions in use with what is known to have arrived, staged remote changes with their closed sessions,
//! batches with their job ids, learned ceilings and call counts are in the database. Claims are not: they are released at the next start. A start
//! is a scan, plus whatever the store still holds. A pack that was under way is asked for with an empty append, and sent again only if it did not
//! arrive; a large file goes on with the parts that are missing, if those that arrived are still what the file holds; a batch is polled by its
//! job's id, or settled by asking Dropbox what is at each path. So a kill costs the requests in flight, and `chunk_size` bounds each of those.
//!
//! # What makes things wait
//! A path waits in its row, with the one backoff there is. A class of calls waits at its gate for as long as Dropbox asked. Batches wait for their
//! [pace](plan::commit::pace). The whole account waits for a token, a network or a person: `engine/gate/account_state`, `engine/gate/identify` and `engine/gate/pause`. A full
//! account holds up uploads only. No clock that is set back makes any of them wait longer than its longest wait ([`plan::time::wait`]).
//!
//! A batch that is refused as a whole is halved until the entry to blame stands alone ([`plan::commit::blame`]). A file that Dropbox refused is left
//! alone until it is another one, or for a day. Where a `.ferryboxignore` cannot be read, or another daemon syncs, nothing is sent or deleted.
//!
//! A damaged database is moved aside and the program starts over; a full disk ends the tasks, not the program. A root that went away is let go of
//! and found again by its place and its marker (`engine/folder/attach`); one that lost its marker, or is an older copy, is compared anew.
//!
//! # Where this differs from the first design, and why
//! - **Own wire types instead of `dropbox-sdk`'s**: see [`dropbox`]. The SDK tests the stand-in server, so that the two are independent.
//! - **`env` is functions, and no value that is handed around**: a value would be one more argument of everything. A simulator puts its own clock behind them.
//! - **An idle step names a moment of the monotonic clock**, not of the wall clock: people set that one back and forth (`engine/drive`).
//! - **The listing and the look at the account are not driven yet**: they wait in loops of their own, most of the time for Dropbox.
//! - **`model` knows sha2**: the content hash is a word of the domain, pure, and both `local` and `engine` need it.
//! - **`cli` knows `dropbox`**, for `link` and `unlink` only, which must work without a daemon.
//! - **`cli` knows `control`**: the client reads the lists' page type where the server writes it.
//! - **Packs are read once**: files up to 64 KiB stay in memory between hashing and sending (at most 2 MiB a worker); larger ones are read twice,
//!   and the server compares the body with the hash of the first reading.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod api;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dropbox;
pub mod engine;
pub mod env;
pub mod local;
pub mod logging;
pub mod model;
pub mod plan;
pub mod store;
