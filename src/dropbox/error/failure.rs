//! From a path of tags to the failure that a row carries.

use std::time::Duration;

use crate::dropbox::error::{
    ApiError, AuthError, CallError, EntryError, RootError, Throttled, Transport, TransportKind,
};
use crate::dropbox::routes;
use crate::model::{Failure, Next};

/// So many refusals in a row are no passing confusion: a person has to look.
const PERSON: u32 = 4;

impl CallError {
    /// What follows for the row or the account.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Api(e) => api(e),
            Self::Root(e) if e.found_out => found_out(self),
            Self::Auth(AuthError::FoundOut) => found_out(self),
            Self::Root(e) => root(e),
            Self::Throttled(t) => throttled(t, self.to_string()),
            Self::Auth(AuthError::Renewed) => Failure {
                code: "renewed".to_owned(),
                text: AuthError::Renewed.to_string(),
                next: Next::Retry { after: Some(Duration::ZERO) },
            },
            Self::Auth(AuthError::Unaccepted { tries, .. }) if *tries < PERSON => {
                Failure::account("renewed", self.to_string())
            }
            Self::Auth(e) => Failure::account("auth_required", e.to_string()),
            Self::Transport(t) => transport(t),
            Self::Held(failure) => failure.clone(),
            Self::Body(e) => Failure::retry("io_error", format!("the file could not be read while it was sent: {e}")),
        }
    }
}

impl EntryError {
    /// What follows for the entry's row.
    pub fn failure(&self) -> Failure {
        of_tags(&self.tags, None)
    }
}

fn throttled(t: &Throttled, text: String) -> Failure {
    Failure { code: "rate_limited".to_owned(), text, next: Next::Retry { after: t.after } }
}

fn transport(t: &Transport) -> Failure {
    let text = t.text.clone();
    match t.kind {
        TransportKind::Dns | TransportKind::Connect | TransportKind::Tls | TransportKind::Portal => {
            Failure::account("offline", text)
        }
        TransportKind::Timeout | TransportKind::Reset => Failure::retry("offline", text),
        TransportKind::Server => {
            Failure { code: "offline".to_owned(), text, next: Next::Retry { after: t.retry_after } }
        }
        TransportKind::Protocol => Failure::retry("protocol", text),
    }
}

/// The call was not made: the one that was will tell.
fn found_out(error: &CallError) -> Failure {
    let next = Next::Retry { after: Some(Duration::from_secs(1)) };
    Failure { code: "renewed".to_owned(), text: error.to_string(), next }
}

/// A root that is refused again and again.
fn root(e: &RootError) -> Failure {
    let code = if e.tries < PERSON { "renewed" } else { "root_moved" };
    let told = e.error.error.pointer("/invalid_root/root_namespace_id").and_then(serde_json::Value::as_str);
    let told =
        told.map(|id| format!(", and names {} in its place", crate::dropbox::error::tame(id))).unwrap_or_default();
    Failure::account(
        code,
        format!(
            "Dropbox refuses the account's root (invalid_root) {} times in a row{told}: it is tried again by itself; if that stays, check `account.path_root` \
             and whether the account has joined or left a team",
            e.tries
        ),
    )
}

/// The calls that are about one path.
const OF_A_PATH: [&str; 3] = [routes::DOWNLOAD.name, routes::GET_METADATA.name, routes::FINISH.name];

fn api(e: &ApiError) -> Failure {
    let said = e.user_message.as_deref().unwrap_or(&e.summary);
    match e.status {
        403 if is_data_transport(e) => Failure::account(
            "data_transport",
            "the team's monthly number of data-transport calls is spent: uploads wait until the next month, or ask the admin",
        ),
        // Perhaps this file alone is denied. Whoever asks for many of them sees whether it is the account.
        403 if OF_A_PATH.contains(&e.route) => Failure::later(
            "permission",
            format!("Dropbox denies this account or app the call {} for this file (403): {said}", e.route),
        ),
        403 => {
            Failure::account("permission", format!("Dropbox denies this account or app the call {}: {said}", e.route))
        }
        // Only `path_root = "root"` can be told this; the root's id is asked for anew with the next call.
        422 if e.is("invalid_root") => Failure {
            code: "path_root".to_owned(),
            text: "the account's root has moved (a team was joined or left): it is asked for again".to_owned(),
            next: Next::Retry { after: Some(Duration::ZERO) },
        },
        422 if e.is("no_permission") => Failure::account(
            "path_root",
            "this account may not look into the namespace that `account.path_root` names (no_permission): ask who owns it, or set `path_root` to \
             home or root, then restart; until then nothing is changed on either side",
        ),
        422 => Failure::account(
            "path_root",
            format!("`path_root` does not fit this account any more ({said}): check `account.path_root`, then restart"),
        ),
        409 => of_tags(&e.tags, e.retry_after),
        416 => Failure::look("changed", "the file in Dropbox ends before the part that was asked for: looked at again"),
        451 => Failure::later("permission", format!("Dropbox may not hand this over for legal reasons (451): {said}")),
        400 => Failure::retry(
            "protocol",
            format!(
                "Dropbox refused the call. If it speaks of the app (its development status, its users, its permissions), see \
                 https://www.dropbox.com/developers/apps; otherwise please report it. {e}"
            ),
        ),
        _ => Failure::retry(
            "protocol",
            format!("Dropbox gave an answer that ferrybox does not know; please report it if it stays. {e}"),
        ),
    }
}

/// Whether a 403 says that the team's data-transport calls are spent. Its tag decides, since its text is in the account's language; the text is read
/// only where no tag says anything.
fn is_data_transport(e: &ApiError) -> bool {
    let counted = e.route.starts_with("files/upload_session/");
    e.is("invalid_account_type/feature") && counted
        || (e.tags.is_empty() || e.is("other")) && mentions_data_transport(e)
}

fn mentions_data_transport(e: &ApiError) -> bool {
    let text = format!("{} {}", e.summary, e.user_message.as_deref().unwrap_or("")).to_ascii_lowercase();
    text.contains("data transport") || text.contains("data_transport")
}

/// The one table. The last tag that it knows decides; what comes before says where.
fn of_tags(tags: &[String], after: Option<Duration>) -> Failure {
    let path = tags.join("/");
    tags.iter().rev().find_map(|tag| known(tag, tags, after)).unwrap_or_else(|| {
        let path = if path.is_empty() { "no reason given" } else { &path };
        Failure {
            code: "other".to_owned(),
            text: format!("Dropbox refused with a reason that this version does not know: {path}"),
            next: Next::Retry { after },
        }
    })
}

fn known(tag: &str, tags: &[String], after: Option<Duration>) -> Option<Failure> {
    let retry =
        |code: &str, text: &str| Failure { code: code.to_owned(), text: text.to_owned(), next: Next::Retry { after } };
    // A lookup of an upload session says `not_found` too; that one means: upload again.
    let of_a_path = tags
        .iter()
        .any(|t| matches!(t.as_str(), "path" | "path_lookup" | "path_write" | "from_lookup" | "from_write" | "to"));
    Some(match tag {
        "too_many_write_operations" | "too_many_requests" => {
            retry("rate_limited", "Dropbox is busy with other writes to this account: tried again")
        }
        "internal_error" => retry("server_error", "Dropbox had an error of its own: tried again"),
        "insufficient_space" | "insufficient_quota" => {
            Failure::account("quota_full", "the Dropbox account is full: make room there, or get more space")
        }
        "file" | "folder" | "file_ancestor" | "conflict" if tags.iter().any(|t| t == "conflict") => match tag {
            "folder" => Failure::look("conflict", "a folder of that name is in the way in Dropbox"),
            "file_ancestor" => Failure::look("conflict", "a file stands in Dropbox where a parent folder is needed"),
            _ => Failure::look("conflict", "Dropbox holds another version of this file"),
        },
        "disallowed_name" | "malformed_path" => {
            Failure::wedge("name", "Dropbox does not take this name: rename the file")
        }
        "no_write_permission" => {
            Failure::later("permission", "no right to write to this folder in Dropbox: ask its owner")
        }
        "access_restricted" => Failure::later("permission", "an admin of the team has restricted this place"),
        "team_folder" => {
            Failure::later("permission", "a team folder cannot be moved or deleted this way: use the admin console")
        }
        "operation_suppressed" => Failure::later("permission", "Dropbox does not allow this at this place"),
        "restricted_content" => {
            Failure::later("permission", "Dropbox has restricted this content and does not hand it over")
        }
        "encryption_not_supported" => Failure::wedge(
            "permission",
            "this folder demands Dropbox's own encryption, which other programs cannot write",
        ),
        "locked" => retry("busy", "somebody has locked this file in Dropbox: tried again"),
        "unsupported_file" => Failure::wedge(
            "type",
            "Dropbox does not hand this file over: it lives in the cloud only (a Paper document, say); export it there",
        ),
        "cant_copy_shared_folder"
        | "cant_nest_shared_folder"
        | "cant_move_shared_folder"
        | "cant_move_into_vault"
        | "cant_move_into_family" => {
            Failure::wedge("permission", "Dropbox does not let this folder be moved or copied there: do it on its site")
        }
        "cant_transfer_ownership" => {
            Failure::wedge("permission", "moving it there would give it to another owner: do it on Dropbox's site")
        }
        "cant_move_folder_into_itself" | "duplicated_or_nested_paths" => {
            Failure::look("changed", "the moves of this batch do not fit together any more: looked at again")
        }
        "invalid_revision" | "invalid_before_rev" => {
            Failure::look("gone", "Dropbox does not have this revision any more: looked at again")
        }
        "too_many_shared_folder_targets" => {
            retry("busy", "Dropbox commits files of fewer shared folders at once: tried again with fewer files")
        }
        "in_progress" => retry("busy", "Dropbox is still at it: tried again"),
        "unsupported_content_type" => Failure::wedge("type", "Dropbox cannot do this with a file of this kind"),
        "too_large" => Failure::wedge("too_large", "the file is larger than Dropbox takes"),
        "too_many_files" => retry(
            "too_many_files",
            "one call may not hold, or take along, so many files and folders: it goes on with fewer, and below the folder first",
        ),
        "content_hash_mismatch" => {
            Failure::look("changed", "the bytes that arrived are not the ones that were read: the file is read again")
        }
        "not_found" | "not_file" | "not_folder" if of_a_path => {
            Failure::look("gone", "the place in Dropbox has changed meanwhile: looked at again")
        }
        "not_found"
        | "incorrect_offset"
        | "closed"
        | "not_closed"
        | "concurrent_session_invalid_offset"
        | "concurrent_session_invalid_data_size"
        | "concurrent_session_data_not_allowed"
        | "concurrent_session_close_not_allowed"
        | "concurrent_session_not_closed"
        | "concurrent_session_missing_data"
        | "lookup_failed" => {
            Failure::look("session", "the upload session is gone or out of step: the file is uploaded again")
        }
        "payload_too_large" => retry(
            "protocol",
            "Dropbox takes no request as large as this one: tried again; if it stays, lower `upload.chunk_size`",
        ),
        "length_mismatch" => {
            retry("protocol", "Dropbox counts the sent bytes differently: tried again; please report it if it stays")
        }
        "invalid_async_job_id" => {
            Failure::look("job", "Dropbox does not know the job any more: its files are looked at again")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(path: &str) -> Failure {
        of_tags(&path.split('/').map(str::to_owned).collect::<Vec<_>>(), None)
    }

    #[test]
    fn each_reason_has_its_code_and_what_follows() {
        for (path, code, next) in [
            ("path/conflict/file", "conflict", Next::Look),
            ("path/conflict/file_ancestor", "conflict", Next::Look),
            ("path/conflict/something_new", "conflict", Next::Look),
            ("path/insufficient_space", "quota_full", Next::Account),
            ("path/disallowed_name", "name", Next::Wedge),
            ("path/no_write_permission", "permission", Next::Later),
            ("path/operation_suppressed", "permission", Next::Later),
            ("path/access_restricted", "permission", Next::Later),
            ("lookup_failed/not_found", "session", Next::Look),
            ("lookup_failed/incorrect_offset", "session", Next::Look),
            ("not_found", "session", Next::Look),
            ("path_lookup/not_found", "gone", Next::Look),
            ("too_many_write_operations", "rate_limited", Next::Retry { after: None }),
            ("path/too_many_write_operations", "rate_limited", Next::Retry { after: None }),
            ("something_new", "other", Next::Retry { after: None }),
            ("too_many_shared_folder_targets", "busy", Next::Retry { after: None }),
            ("lookup_failed/something_new", "session", Next::Look),
            ("path/restricted_content", "permission", Next::Later),
            ("unsupported_file", "type", Next::Wedge),
            ("path/not_file", "gone", Next::Look),
            ("path/locked", "busy", Next::Retry { after: None }),
            ("from_lookup/not_found", "gone", Next::Look),
            ("to/conflict/folder", "conflict", Next::Look),
            ("to/no_write_permission", "permission", Next::Later),
            ("cant_move_into_vault/is_shared_folder", "permission", Next::Wedge),
            ("cant_move_folder_into_itself", "changed", Next::Look),
            ("insufficient_quota", "quota_full", Next::Account),
            ("invalid_revision", "gone", Next::Look),
        ] {
            let f = failure(path);
            assert_eq!((f.code.as_str(), &f.next), (code, &next), "{path}");
        }
        assert!(failure("something_new").text.contains("something_new"));
    }

    fn refused(status: u16, route: &'static str, tags: &[&str], text: &str) -> Failure {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let user_message = Some(text.to_owned());
        let error = serde_json::Value::Null;
        let summary = String::new();
        api(&ApiError { status, route, tags, summary, user_message, retry_after: None, request_id: None, error })
    }

    #[test]
    fn r1_the_tag_of_a_403_decides_and_the_route_says_whose_it_is() {
        let (append, download, list) = ("files/upload_session/append_batch", "files/download", "files/list_folder");
        let feature = ["invalid_account_type", "feature"];
        for (route, tags, text, code, next) in [
            (append, &feature[..], "Das Kontingent ist verbraucht.", "data_transport", Next::Account),
            (append, &[], "the data transport limit", "data_transport", Next::Account),
            (append, &["no_permission"], "data transport", "permission", Next::Account),
            (list, &feature[..], "x", "permission", Next::Account),
            (download, &["no_permission"], "x", "permission", Next::Later),
            (list, &["no_permission"], "x", "permission", Next::Account),
        ] {
            let failure = refused(403, route, tags, text);
            assert_eq!((failure.code.as_str(), failure.next), (code, next), "{route} {tags:?}");
        }
    }

    #[test]
    fn r7_texts_blame_what_is_to_blame() {
        let development = refused(400, "files/list_folder", &[], "This app is in development mode.");
        assert!(development.text.contains("developers/apps"), "{}", development.text);
        let legal = refused(451, "files/download", &[], "not here");
        assert!(legal.text.contains("legal") && !legal.text.contains("understand"), "{}", legal.text);
        assert!(failure("payload_too_large").text.contains("chunk_size"));
    }
}
