//! A folder and its root meet: at the start, and each time that the root is back.
//!
//! What is remembered of a root, beside its marker's id: the place where it stood, so that a folder whose disk is not mounted is waited for; its
//! device number, which tells files on disks of their own from the others; and the mark of the last run, which stands in the root too, so that
//! an older copy of either (a restored backup) is told from the pair that was last together.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::config;
use crate::engine::folder::Folder;
use crate::engine::folder::Look;
use crate::engine::folder::unsynced;
use crate::engine::heartbeat::{Beat, on_the_disk};
use crate::engine::open::OpenError;
use crate::env::lock;
use crate::local::{Root, RootId};
use crate::model::{Failure, Mode};
use crate::plan::name::ignore::Rules;
use crate::store::{Store, StoreError};

/// In the place of the marker's id: a backup of a folder that cannot be written has none.
const UNMARKED: &str = "unmarked";

/// Opens a configured folder. One that was met before may be missing: it is waited for. A disk that hangs holds up a thread made for that.
///
/// # Errors
/// It is missing and was never met, it cannot get a marker, or another daemon syncs it.
pub(crate) async fn open(
    store: &Store,
    config: &config::Folder,
    looks: mpsc::Receiver<Look>,
) -> Result<Folder, OpenError> {
    let (store, config, handle) = (store.clone(), config.clone(), Handle::current());
    let met = on_the_disk(move || handle.block_on(meet(&store, &config, looks))).await;
    met.unwrap_or_else(|error| Err(OpenError::State(format!("the opening of a folder died: {error}"))))
}

/// Blocks.
async fn meet(store: &Store, config: &config::Folder, looks: mpsc::Receiver<Look>) -> Result<Folder, OpenError> {
    let usage = |text: String| OpenError::Usage(format!("folder {}: {text}", config.local.display()));
    let local = config.local.to_string_lossy();
    let known = store.folder(&local, config.remote.as_str(), config.mode).await?;
    let folder = unmet(store, config, &known, looks).await?;
    if !folder.root.is_open() {
        // Asked once more for the reason; should it be back in this moment, the better.
        if folder.find_again().is_err() {
            return Ok(folder);
        }
    }
    if lock(&folder.root_id).is_none() {
        mark(store, &folder).await?.map_err(|f| usage(f.text))?;
    } else if folder.verify().is_err() {
        note_emptied(store, &folder).await?;
        return Ok(folder);
    }
    folder.take_lock().map_err(|f| OpenError::Usage(f.text))?;
    if let Err(failure) = compare_memories(store, &folder).await? {
        folder.root.let_go(&folder.root.pin());
        folder.lose(&failure);
    }
    unsynced::forget(store, &folder, config).await?;
    Ok(folder)
}

/// A folder of which only what the database and the disk say is wanted: nothing is locked, marked or written.
///
/// # Errors
/// The pattern of a rule is wrong, or the database cannot be read.
pub(crate) async fn look(store: &Store, config: &config::Folder) -> Result<Option<Folder>, OpenError> {
    let (store, config, handle) = (store.clone(), config.clone(), Handle::current());
    let looked = on_the_disk(move || handle.block_on(look_blocking(&store, &config))).await;
    looked.unwrap_or_else(|error| Err(OpenError::State(format!("the look at a folder died: {error}"))))
}

/// Blocks.
async fn look_blocking(store: &Store, config: &config::Folder) -> Result<Option<Folder>, OpenError> {
    let local = config.local.to_string_lossy();
    let Some(known) = store.known_folder(&local, config.remote.as_str()).await? else { return Ok(None) };
    let (_, looks) = mpsc::channel(1);
    let folder = unmet(store, config, &known, looks).await?;
    // What is wrong with the root is remembered there, and said of each path.
    drop(if folder.root.is_open() { folder.verify() } else { folder.find_again() });
    Ok(Some(folder))
}

/// The folder before database and root have compared what they remember of each other.
async fn unmet(
    store: &Store,
    config: &config::Folder,
    known: &crate::store::Folder,
    looks: mpsc::Receiver<Look>,
) -> Result<Folder, OpenError> {
    let usage = |text: String| OpenError::Usage(format!("folder {}: {text}", config.local.display()));
    let rules = Rules::new(&config.ignore)
        .map_err(|e| usage(e.to_string()))?
        .excluding(&config.exclude)
        .with_own_files(config.own_ignore_files);
    let place = store.root_memory(known.id).await?.place.map(PathBuf::from);
    let met = known.root_id.is_some();
    let root = match (Root::open(&config.local), place) {
        (Ok(root), Some(place)) if met && root.path() != place => Root::awaited(&config.local, place),
        (Ok(root), _) => root,
        (Err(_), Some(place)) if met => Root::awaited(&config.local, place),
        (Err(error), _) => return Err(usage(error.to_string())),
    };
    let root_id = match known.root_id.as_deref() {
        None | Some(UNMARKED) => None,
        Some(id) => Some(id.parse::<RootId>().map_err(|f| OpenError::State(f.text))?),
    };
    Ok(Folder {
        id: known.id,
        local: config.local.clone(),
        remote: config.remote.clone(),
        mode: config.mode,
        disk: root.disk(),
        root,
        root_id: Mutex::new(root_id),
        emptied: AtomicBool::new(false),
        lock: Mutex::new(None),
        report_symlinks: config.report_symlinks,
        question: config.question.clone(),
        rules: Arc::new(rules),
        now: Mutex::default(),
        beat: Beat::default(),
        purged: Mutex::default(),
        unanswered: Mutex::default(),
        looks: Arc::new(tokio::sync::Mutex::new(looks)),
    })
}

/// Looks whether a root that was lost is back. `true`: it is, and has to be scanned with new watches.
///
/// # Errors
/// When the database fails.
pub(crate) async fn again(store: &Store, folder: &Arc<Folder>) -> Result<bool, StoreError> {
    let (store, folder, handle) = (store.clone(), Arc::clone(folder), Handle::current());
    // A look that died is no sight of it.
    on_the_disk(move || handle.block_on(meet_again(&store, &folder))).await.unwrap_or(Ok(false))
}

/// Blocks.
async fn meet_again(store: &Store, folder: &Arc<Folder>) -> Result<bool, StoreError> {
    note_emptied(store, folder).await?;
    if folder.find_again().is_err() {
        return Ok(false);
    }
    if let Err(failure) = compare_memories(store, folder).await? {
        folder.root.let_go(&folder.root.pin());
        folder.lose(&failure);
        return Ok(false);
    }
    folder.found();
    Ok(true)
}

/// Remembers that the root was seen without its marker, across restarts.
async fn note_emptied(store: &Store, folder: &Folder) -> Result<(), StoreError> {
    if folder.emptied.swap(false, Ordering::Relaxed) {
        store.root_emptied(folder.id).await?;
    }
    Ok(())
}

/// Gives the folder the marker that it has not got yet, as far as that is possible.
async fn mark(store: &Store, folder: &Folder) -> Result<Result<(), Failure>, StoreError> {
    let found = match folder.root.marker() {
        Ok(found) => found,
        Err(failure) => return Ok(Err(failure)),
    };
    let id = match found {
        // Another database has met this folder before. Without a base nothing here can be believed gone, so the marker may serve both.
        Some(id) => Some(id),
        None => match RootId::new().and_then(|id| folder.root.write_marker(&id).map(|()| id)) {
            Ok(id) => Some(id),
            // A backup deletes nothing, so that it needs no proof of the root's identity.
            Err(failure) if failure.code == "permission" && folder.mode == Mode::Backup => None,
            Err(failure) if folder.mode == Mode::Mirror => {
                return Ok(Err(Failure::wedge(
                    "permission",
                    format!(
                        "a mirror passes deletions on, so it must be able to tell the folder from an empty mount point by its marker; {}. \
                         Make the folder writable once, or use mode = \"backup\"",
                        failure.text
                    ),
                )));
            }
            Err(failure) => return Ok(Err(failure)),
        },
    };
    let place = folder.root.path().to_string_lossy();
    store.set_root_id(folder.id, id.as_ref().map_or(UNMARKED, RootId::as_str), &place).await?;
    *lock(&folder.root_id) = id;
    Ok(Ok(()))
}

/// Compares what database and root remember of each other. If one of them is an older copy, what was agreed on is forgotten: both sides are
/// compared by content then, and nothing is deleted.
async fn compare_memories(store: &Store, folder: &Folder) -> Result<Result<(), Failure>, StoreError> {
    let known = store.root_memory(folder.id).await?;
    match known.dev {
        Some(last) if last != folder.root.dev() => {
            store.device_renamed(folder.id, last, folder.root.dev()).await?;
        }
        Some(_) => {}
        None => store.set_root_device(folder.id, folder.root.dev()).await?,
    }
    if lock(&folder.root_id).is_none() {
        return Ok(Ok(()));
    }
    let found = match folder.root.run_mark() {
        Ok(found) => found,
        Err(failure) => return Ok(Err(failure)),
    };
    let (last, next) = (&known.mark, &known.next_mark);
    let fits = match &found {
        None => last.is_none(),
        Some(found) => [last, next].into_iter().any(|mark| mark.as_deref() == Some(found.as_str())),
    };
    let ino = folder.root.ino();
    let moved = known.ino.is_some_and(|last| last != ino);
    let why = if !fits && (last.is_some() || next.is_some()) {
        Some("the folder or the state database is an older copy than the other (restored from a backup?)")
    } else if moved {
        Some("the folder is another directory with the same marker, so it may be a copy that is still being made")
    } else if known.emptied {
        Some("the folder had lost its marker, so it may be a copy that is still being made")
    } else {
        None
    };
    if let Some(why) = why {
        tracing::warn!(folder = folder.id.0, %why, "both sides are compared anew, and nothing is deleted");
        store.forget(folder.id).await?;
    }
    // The intent first: a crash between the two leaves a mark that the database expects.
    let mark = RootId::new().ok();
    store.begin_run(folder.id, ino, mark.as_ref().map(RootId::as_str)).await?;
    let Some(mark) = mark else { return Ok(Ok(())) };
    match folder.root.set_run_mark(&mark) {
        Ok(()) => store.run_marked(folder.id).await?,
        // A full or read-only disk: the last mark stays on both sides.
        Err(failure) => tracing::debug!(folder = folder.id.0, reason = %failure.text, "the run's mark was not written"),
    }
    Ok(Ok(()))
}

/// Whether a path of the configuration is the folder's own.
pub(crate) fn below<'a>(folder: &Folder, path: &'a Path) -> Option<&'a Path> {
    [folder.local.as_path(), folder.root.path()].iter().find_map(|root| path.strip_prefix(root).ok())
}
