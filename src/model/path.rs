//! Paths that cannot escape: what is not safe cannot be represented.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a path of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathError {
    /// A component is empty (`a//b`, or a leading or trailing slash where none belongs).
    Empty,
    /// A component is `.` or `..`, which could lead out of the folder.
    Dots,
    /// A component holds NUL, which no file system can store.
    Nul,
    /// A remote path does not begin with `/`.
    NotAbsolute,
    /// The bytes are not UTF-8; Dropbox has no name for them.
    NotUtf8,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty path component",
            Self::Dots => "a path component `.` or `..`",
            Self::Nul => "a NUL byte in a path",
            Self::NotAbsolute => "a remote path that does not begin with `/`",
            Self::NotUtf8 => "a name that is not UTF-8",
        })
    }
}

impl std::error::Error for PathError {}

fn check_component(name: &str) -> Result<(), PathError> {
    match name {
        "" => Err(PathError::Empty),
        "." | ".." => Err(PathError::Dots),
        _ if name.contains('\0') => Err(PathError::Nul),
        _ => Ok(()),
    }
}

/// A path below a folder's root: components joined by `/`, none of them empty, `.` or `..`. The root itself is the empty path.
///
/// The letters are the disk's own, byte for byte: no case folding and no normalisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

impl RelPath {
    /// The folder's root.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Checks every component.
    ///
    /// # Errors
    /// [`PathError`] names the first thing wrong.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        text.split('/').try_for_each(check_component)?;
        Ok(Self(text.to_owned()))
    }

    /// The path of the child `name` (one component).
    ///
    /// # Errors
    /// [`PathError`] when `name` is not one valid component.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        check_component(name)?;
        if name.contains('/') {
            return Err(PathError::Empty);
        }
        Ok(if self.is_root() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) })
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or_else(Self::root, |(parent, _)| Self(parent.to_owned())))
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|c| !c.is_empty())
    }

    /// The same path once its directory `from` is at `to`; `None` if it does not lie below `from`.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(from.as_str())?.strip_prefix('/')?;
        (!from.is_root() && !to.is_root()).then(|| Self(format!("{to}/{rest}")))
    }

    /// Whether `self` is `ancestor` or lies below it.
    pub fn is_under(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self.0.strip_prefix(ancestor.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RelPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

/// A path in Dropbox: empty for the account's root, else `/a/b`. Letters as given; Dropbox compares them without case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemotePath(String);

impl RemotePath {
    /// Checks every component. `""` and `"/"` are the root; one trailing slash is forgiven, since people write folders that way.
    ///
    /// # Errors
    /// [`PathError`] names the first thing wrong.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() || text == "/" {
            return Ok(Self::default());
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        let rest = text.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        rest.split('/').try_for_each(check_component)?;
        Ok(Self(text.to_owned()))
    }

    /// The remote place of a path below a folder that is synced to `self`.
    pub fn join(&self, path: &RelPath) -> Self {
        if path.is_root() { self.clone() } else { Self(format!("{}/{}", self.0, path.as_str())) }
    }

    /// The folder above; none above the account's root.
    pub fn parent(&self) -> Option<Self> {
        let (above, _) = self.0.rsplit_once('/')?;
        Some(Self(above.to_owned()))
    }

    /// The same place under another last component.
    ///
    /// # Errors
    /// [`PathError`] when `name` is not one valid component.
    pub fn with_name(&self, name: &str) -> Result<Self, PathError> {
        check_component(name)?;
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        Self::parse(&format!("{parent}/{name}"))
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The text as Dropbox wants it: `""` for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl TryFrom<String> for RemotePath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<RemotePath> for String {
    fn from(path: RemotePath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_escape_cannot_be_a_path() {
        for bad in ["..", "a/../b", "a//b", "/a", "a/", ".", "a/\0"] {
            assert!(RelPath::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["a", "/..", "/a/./b", "//a", "/a//b", "/\0"] {
            assert!(RemotePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parents_names_and_joins() {
        let p = RelPath::parse("a/b/c.txt").unwrap();
        assert_eq!(p.name(), "c.txt");
        assert_eq!(p.parent().unwrap().as_str(), "a/b");
        assert_eq!(RelPath::parse("a").unwrap().parent(), Some(RelPath::root()));
        assert!(p.is_under(&RelPath::parse("a/b").unwrap()));
        assert!(!p.is_under(&RelPath::parse("a/bc").unwrap()));
        let remote = RemotePath::parse("/Backup/").unwrap().join(&p);
        assert_eq!(remote.as_str(), "/Backup/a/b/c.txt");
        assert_eq!(remote.with_name("d").unwrap().as_str(), "/Backup/a/b/d");
        assert_eq!(RemotePath::parse("/").unwrap().join(&p).as_str(), "/a/b/c.txt");
    }
}
