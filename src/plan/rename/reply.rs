//! What became of a move or a copy: from its reply, or from what Dropbox has at both places where there was none.

use crate::model::{Base, Failure, Relocation};
use crate::plan::commit::lost_reply::Found;
use crate::plan::commit::outcome::Committed;
use crate::plan::rename::dedup_copy;
use crate::plan::rename::detect::{Arrived, How, judge};

/// So many tries of one move.
pub const TRIES: u32 = 5;

/// What a reply says that there is at the new place now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It is where it had to go first.
    Halfway,
    /// It is at its new place, and this is base there (`None`: a directory).
    There(Option<Base>),
    /// It is another thing: the paths go their usual way.
    Otherwise,
}

/// What a reply means.
pub fn moved(relocation: &Relocation, found: &Found) -> Moved {
    if relocation.via.is_some() {
        return Moved::Halfway;
    }
    let how = if relocation.copy { How::Copy } else { How::Move };
    match (&relocation.base, found) {
        (None, Found::Folder) => Moved::There(None),
        (Some(base), Found::File(Committed { rev, file_id: Some(id), size, content_hash })) => {
            let arrived = Arrived { id: id.clone(), rev: rev.clone(), content_hash: *content_hash };
            if relocation.alike {
                return Moved::There(Some(dedup_copy::judge(base, &arrived, *size)));
            }
            judge(base, &arrived, how).map_or(Moved::Otherwise, |base| Moved::There(Some(base)))
        }
        // A file where a folder was meant, or a folder where a file was: somebody else's, and base says nothing of it.
        _ => Moved::Otherwise,
    }
}

/// What a lost reply is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// It was made: what was found at the new place is judged as a reply.
    Made,
    /// It was not: it is made again.
    NotMade(Failure),
    /// Neither is known: the paths go their usual way.
    Otherwise,
    /// That depends on this.
    Need(Need),
}

/// A fact that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// [`Facts::taken`].
    Taken,
    /// [`Facts::old`].
    Old,
}

/// What is known after a lost reply.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What Dropbox has at the new place.
    pub new: &'a Found,
    /// Whether something is agreed on at the new place already: then it is that which is there.
    pub taken: Option<bool>,
    /// Whether Dropbox has anything at the old place.
    pub old: Option<bool>,
}

/// What a lost reply is taken for, after so many tries.
pub fn lost(relocation: &Relocation, attempts: u32, facts: Facts<'_>) -> Lost {
    let ours = match (facts.new, &relocation.base) {
        (Found::File(file), Some(base)) if relocation.copy => file.content_hash == Some(base.content_hash),
        (Found::File(file), Some(base)) => base.file_id.is_some() && base.file_id == file.file_id,
        // A free name is nobody else's.
        (Found::Folder, None) if relocation.via.is_some() => true,
        (Found::Folder, None) => match facts.taken {
            None => return Lost::Need(Need::Taken),
            Some(taken) => !taken,
        },
        _ => false,
    };
    if !ours && *facts.new != Found::Nothing {
        return Lost::Otherwise;
    }
    match (ours, facts.old) {
        (_, None) => Lost::Need(Need::Old),
        (true, Some(false)) => Lost::Made,
        // A folder has no name but its place: with one at both, it is not known whose they are.
        (true, Some(true)) if relocation.base.is_some() => Lost::Made,
        (false, Some(true)) if attempts < TRIES => Lost::NotMade(Failure::retry(
            "unknown_outcome",
            "the reply to the move was lost, and it was not made; it is made again",
        )),
        _ => Lost::Otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, RelPath, RemotePath, Stat};

    fn base() -> Base {
        Base {
            stat: Stat { size: 3, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 },
            content_hash: ContentHash([1; 32]),
            rev: "1".into(),
            file_id: Some("id:a".into()),
            remote: None,
        }
    }

    fn relocation(base: Option<Base>, copy: bool, via: bool) -> Relocation {
        let path = |text: &str| RemotePath::parse(text).unwrap();
        Relocation {
            from: path("/old"),
            to: path("/new"),
            source: RelPath::parse("old").unwrap(),
            base,
            copy,
            alike: false,
            via: via.then(|| path("/via")),
        }
    }

    fn file(id: &str, hash: Option<u8>) -> Found {
        let content_hash = hash.map(|byte| ContentHash([byte; 32]));
        Found::File(Committed { rev: "9".into(), file_id: Some(id.into()), size: 3, content_hash })
    }

    /// With every fact at hand: what is at the new place (and whether something is agreed on there), and whether the old one is empty.
    #[test]
    fn a_lost_move_is_believed_only_where_the_thing_itself_is_found() {
        let ours = file("id:a", Some(1));
        let edited = file("id:a", Some(2));
        let other = file("id:b", Some(1));
        let (mv, copy) = (relocation(Some(base()), false, false), relocation(Some(base()), true, false));
        let (dir, by_way) = (relocation(None, false, false), relocation(None, false, true));
        let (made, again, otherwise) = ("made", "again", "otherwise");
        // (move, what is at the new place, taken, old place empty, old place not empty)
        for (relocation, new, taken, empty, full) in [
            (&mv, &ours, false, made, made),
            (&mv, &edited, false, made, made),
            (&mv, &other, false, otherwise, otherwise),
            (&mv, &Found::Folder, false, otherwise, otherwise),
            (&mv, &Found::Unknown, false, otherwise, otherwise),
            (&mv, &Found::Nothing, false, otherwise, again),
            (&copy, &other, false, made, made),
            (&copy, &edited, false, otherwise, otherwise),
            (&copy, &Found::Nothing, false, otherwise, again),
            (&dir, &Found::Folder, false, made, otherwise),
            (&dir, &Found::Folder, true, otherwise, otherwise),
            (&dir, &ours, false, otherwise, otherwise),
            (&dir, &Found::Nothing, false, otherwise, again),
            (&by_way, &Found::Folder, true, made, otherwise),
        ] {
            for (old, expected) in [(false, empty), (true, full)] {
                let facts = Facts { new, taken: Some(taken), old: Some(old) };
                let word = |attempts| match lost(relocation, attempts, facts) {
                    Lost::Made => made,
                    Lost::NotMade(_) => again,
                    Lost::Otherwise => otherwise,
                    Lost::Need(need) => panic!("{need:?}"),
                };
                assert_eq!(word(0), expected, "{relocation:?} {new:?} {taken} {old}");
                let at_last = if expected == again { otherwise } else { expected };
                assert_eq!(word(TRIES), at_last, "it is not tried for ever");
            }
        }
        // Without an id nobody knows which file it is.
        let nameless = relocation(Some(Base { file_id: None, ..base() }), false, false);
        assert_eq!(lost(&nameless, 0, Facts { new: &ours, taken: None, old: None }), Lost::Otherwise);
    }

    #[test]
    fn what_is_not_known_is_asked_for_only_where_it_matters() {
        let dir = relocation(None, false, false);
        let facts = |new, taken| Facts { new, taken, old: None };
        assert_eq!(lost(&dir, 0, facts(&Found::Folder, None)), Lost::Need(Need::Taken));
        assert_eq!(lost(&dir, 0, facts(&Found::Folder, Some(true))), Lost::Otherwise);
        assert_eq!(lost(&dir, 0, facts(&Found::Folder, Some(false))), Lost::Need(Need::Old));
        assert_eq!(lost(&dir, 0, facts(&Found::Nothing, None)), Lost::Need(Need::Old));
        assert_eq!(lost(&relocation(None, false, true), 0, facts(&Found::Folder, None)), Lost::Need(Need::Old));
    }

    #[test]
    fn a_reply_is_judged_by_what_arrived() {
        let mv = relocation(Some(base()), false, false);
        let at = |rev: &str| Moved::There(Some(Base { rev: rev.into(), ..base() }));
        assert_eq!(moved(&mv, &file("id:a", Some(1))), at("9"));
        assert_eq!(moved(&mv, &file("id:b", Some(1))), at("1"), "somebody else's: base keeps its revision");
        assert_eq!(moved(&mv, &Found::Folder), Moved::Otherwise);
        let dir = relocation(None, false, false);
        assert_eq!(moved(&dir, &Found::Folder), Moved::There(None));
        assert_eq!(moved(&dir, &file("id:a", Some(1))), Moved::Otherwise);
        let copy = relocation(Some(base()), true, false);
        assert_eq!(moved(&copy, &file("id:b", Some(2))), Moved::Otherwise);
        let alike = Relocation { alike: true, ..copy };
        let other = moved(&alike, &file("id:b", Some(2)));
        assert!(
            matches!(other, Moved::There(Some(base)) if base.content_hash == ContentHash([2; 32])),
            "it is ours, with another content"
        );
        for found in [Found::Folder, Found::Unknown, Found::Nothing, file("id:a", Some(1))] {
            assert_eq!(moved(&relocation(None, false, true), &found), Moved::Halfway);
        }
    }
}
