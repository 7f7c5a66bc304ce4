//! The files and folders of one account, their change log, and their history.
//!
//! Every path that ever held something has one node, and one place in the change log: that of its last change. A listing walks the
//! nodes in path order, a delta walks the log, so a page costs what it holds and not what the account holds.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::hash::Digest;
use crate::path::{self, Place};

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Not kept.
    Absent,
    /// Kept.
    Kept(Bytes),
    /// Made again when asked for, from this number.
    Generated(u64),
}

/// One revision of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) id: u64,
    pub(crate) rev: u64,
    pub(crate) size: u64,
    pub(crate) hash: Digest,
    pub(crate) client_modified: i64,
    pub(crate) server_modified: i64,
    pub(crate) content: Content,
}

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File(Revision),
    Folder {
        id: u64,
    },
    /// Something was here.
    Deleted {
        at: i64,
        was_file: bool,
    },
}

/// One path.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The display path; `None` when it is the key itself.
    display: Option<Box<str>>,
    /// Its place in the log.
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    /// Earlier revisions at this path, the oldest first.
    pub(crate) past: Vec<Revision>,
}

impl Node {
    /// The path as it is shown.
    pub(crate) fn display<'a>(&'a self, key: &'a str) -> &'a str {
        self.display.as_deref().unwrap_or(key)
    }

    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.kind, Kind::Deleted { .. })
    }

    pub(crate) fn file(&self) -> Option<&Revision> {
        if let Kind::File(file) = &self.kind { Some(file) } else { None }
    }
}

/// The tree of one account.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    pub(crate) log: BTreeMap<u64, Arc<str>>,
    /// Places in the log that tell of a folder that went and came back.
    pub(crate) left: HashSet<u64>,
    /// What cursors do not tell of yet, though it is there.
    pub(crate) untold: HashSet<Arc<str>>,
    /// Where a file or folder with this id was last.
    pub(crate) ids: HashMap<u64, Arc<str>>,
    /// Where a revision was made. A file's first revision has the number of its id and is not listed.
    pub(crate) revs: HashMap<u64, Arc<str>>,
    /// Earlier paths of what was moved.
    pub(crate) trail: HashMap<u64, Vec<Arc<str>>>,
    /// The place of the newest change.
    pub(crate) seq: u64,
    /// Counts the resets of all cursors.
    pub(crate) generation: u32,
    /// Bytes of all files.
    pub(crate) used: u64,
    /// When folders at the top were made.
    pub(crate) born: HashMap<String, Instant>,
    /// When the log had come to a place.
    marks: VecDeque<(Instant, u64)>,
    numbers: u64,
}

/// Changes within this time have one mark.
const MARK: Duration = Duration::from_millis(10);

impl Tree {
    /// The next place in the log.
    fn next(&mut self) {
        self.seq += 1;
        match self.marks.back_mut() {
            Some((at, seq)) if at.elapsed() < MARK => *seq = self.seq,
            _ => self.marks.push_back((Instant::now(), self.seq)),
        }
    }

    /// The last place in the log of which a cursor tells, where changes are told so late.
    pub(crate) fn told(&self, lag: Duration) -> u64 {
        if lag.is_zero() {
            return self.seq;
        }
        self.marks.iter().rev().find(|(at, _)| at.elapsed() >= lag).map_or(0, |(_, seq)| *seq)
    }

    /// A number for an id or a revision.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// What is at this path now.
    pub(crate) fn live(&self, lower: &str) -> Option<&Node> {
        self.nodes.get(lower).filter(|node| node.is_live())
    }

    /// Whether there is a folder; the root always is one.
    pub(crate) fn is_folder(&self, lower: &str) -> bool {
        lower.is_empty() || matches!(self.nodes.get(lower).map(|node| &node.kind), Some(Kind::Folder { .. }))
    }

    /// The keys of everything live below a folder, in order.
    pub(crate) fn below(&self, lower: &str) -> impl Iterator<Item = (&Arc<str>, &Node)> {
        let (from, to) = (format!("{lower}/"), format!("{lower}0"));
        let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
        // '0' is the character after '/', so this is exactly what starts with "lower/".
        self.nodes.range::<str, _>(range).filter(|(_, node)| node.is_live()).collect::<Vec<_>>().into_iter()
    }

    /// Whether there is anything live below a folder.
    pub(crate) fn has_children(&self, lower: &str) -> bool {
        let (from, to) = (format!("{lower}/"), format!("{lower}0"));
        let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
        self.nodes.range::<str, _>(range).any(|(_, node)| node.is_live())
    }

    /// How many files and folders a path holds, itself included.
    pub(crate) fn count(&self, lower: &str) -> usize {
        1 + self.below(lower).count()
    }

    /// The display path for something new: the parents as they are shown, the rest as given.
    pub(crate) fn display_for(&self, place: &Place) -> String {
        let (parent, name) = (path::parent_of(&place.lower), path::name_of(&place.display));
        match self.live(parent) {
            Some(node) => format!("{}/{name}", node.display(parent)),
            None => place.display.clone(),
        }
    }

    /// Makes the parents that are missing ("parents made automatically", docs/dropbox-api.md, "Committing").
    pub(crate) fn make_parents(&mut self, place: &Place) {
        let lower: Vec<&str> = path::ancestors(&place.lower).collect();
        let display: Vec<&str> = path::ancestors(&place.display).collect();
        for (lower, display) in lower.into_iter().zip(display) {
            if self.live(lower).is_none() {
                self.make_folder(&Place { lower: lower.to_owned(), display: display.to_owned() });
            }
        }
    }

    /// Puts a folder; the caller has seen to the parents.
    pub(crate) fn make_folder(&mut self, place: &Place) -> Arc<str> {
        let id = self.number();
        let display = self.display_for(place);
        if path::parent_of(&place.lower).is_empty() {
            self.born.insert(place.lower.clone(), Instant::now());
        }
        self.put(&place.lower, &display, Kind::Folder { id })
    }

    /// Puts a file's new revision; the caller has seen to the parents and to the rules.
    pub(crate) fn put_file(&mut self, place: &Place, file: Revision) -> Arc<str> {
        // A file that is overwritten keeps the case of its name [guess]: "Changes to only the casing of paths won't be returned".
        let display = match self.live(&place.lower) {
            Some(node) => node.display(&place.lower).to_owned(),
            None => self.display_for(place),
        };
        self.put(&place.lower, &display, Kind::File(file))
    }

    /// Puts anything and logs it.
    pub(crate) fn put(&mut self, lower: &str, display: &str, kind: Kind) -> Arc<str> {
        self.untold.remove(lower);
        let old = self.nodes.remove_entry(lower);
        let (key, mut past) = match old {
            Some((key, node)) => {
                self.log.remove(&node.seq);
                let mut past = node.past;
                if let Kind::File(file) = node.kind {
                    self.used = self.used.saturating_sub(file.size);
                    past.push(file);
                }
                (key, past)
            }
            None => (Arc::from(lower), Vec::new()),
        };
        match &kind {
            Kind::File(file) => {
                self.used += file.size;
                self.ids.insert(file.id, Arc::clone(&key));
                if file.rev != file.id {
                    self.revs.insert(file.rev, Arc::clone(&key));
                }
            }
            Kind::Folder { id } => {
                self.ids.insert(*id, Arc::clone(&key));
            }
            Kind::Deleted { .. } => {}
        }
        past.shrink_to_fit();
        self.next();
        self.log.insert(self.seq, Arc::clone(&key));
        let display = (display != &*key).then(|| display.into());
        self.nodes.insert(Arc::clone(&key), Node { display, seq: self.seq, kind, past });
        key
    }

    /// Deletes a path and everything below it; the top is logged first.
    pub(crate) fn remove(&mut self, lower: &str, now: i64) {
        let mut gone: Vec<Arc<str>> = vec![Arc::from(lower)];
        gone.extend(self.below(lower).map(|(key, _)| Arc::clone(key)));
        for key in gone {
            let Some(node) = self.nodes.get(&key).filter(|node| node.is_live()) else { continue };
            let (display, was_file) = (node.display(&key).to_owned(), node.file().is_some());
            self.put(&key, &display, Kind::Deleted { at: now, was_file });
        }
    }

    /// A folder is told as deleted, and some other changes later as made again with all that is in it: the first part.
    pub(crate) fn leave(&mut self, lower: &str) {
        let Some((key, _)) = self.nodes.get_key_value(lower) else { return };
        let key = Arc::clone(key);
        self.next();
        self.log.insert(self.seq, key);
        self.left.insert(self.seq);
    }

    /// The second part.
    pub(crate) fn come_back(&mut self, lower: &str) {
        let mut all: Vec<Arc<str>> = vec![Arc::from(lower)];
        all.extend(self.below(lower).map(|(key, _)| Arc::clone(key)));
        for key in all {
            self.log_again(key);
        }
    }

    /// Logs a node again, which has changed in something but what it holds.
    pub(crate) fn touch(&mut self, lower: &str) {
        if let Some((key, _)) = self.nodes.get_key_value(lower) {
            let key = Arc::clone(key);
            self.log_again(key);
        }
    }

    fn log_again(&mut self, key: Arc<str>) {
        if !self.nodes.contains_key(&key) {
            return;
        }
        self.next();
        if let Some(node) = self.nodes.get_mut(&key) {
            self.log.remove(&node.seq);
            node.seq = self.seq;
            self.log.insert(self.seq, key);
        }
    }

    /// Cursors do not tell of what was logged after `seq`.
    pub(crate) fn keep_quiet(&mut self, seq: u64) {
        let later = self.log.range((Bound::Excluded(seq), Bound::Unbounded));
        self.untold.extend(later.map(|(_, key)| Arc::clone(key)));
    }

    /// They do from now on.
    pub(crate) fn tell(&mut self) {
        let mut keys: Vec<_> = std::mem::take(&mut self.untold).into_iter().collect();
        keys.sort_unstable();
        for key in keys {
            self.log_again(key);
        }
    }

    /// The live path of an id.
    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<str>> {
        let key = self.ids.get(&id)?;
        let here = match &self.nodes.get(key)?.kind {
            Kind::File(file) => file.id,
            Kind::Folder { id } => *id,
            Kind::Deleted { .. } => return None,
        };
        (here == id).then(|| Arc::clone(key))
    }

    /// The path where a revision was made, and the revision.
    pub(crate) fn by_rev(&self, rev: u64) -> Option<(Arc<str>, &Revision)> {
        let key = self.revs.get(&rev).or_else(|| self.ids.get(&rev))?;
        let node = self.nodes.get(key)?;
        let found = node.file().into_iter().chain(&node.past).find(|file| file.rev == rev)?;
        Some((Arc::clone(key), found))
    }
}
