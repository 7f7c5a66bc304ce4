//! The routes that are called, as data.

pub(super) mod account;
pub(super) mod commits;
pub(super) mod download;
pub(super) mod files;
pub(super) mod listing;
pub(super) mod moves;
pub(super) mod page;
pub(super) mod revisions;
pub(super) mod sessions;

use crate::dropbox::client::gate::Class;

/// How a call travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// JSON in the body, to the API host.
    Rpc,
    /// JSON in a header and bytes in the body, to the content host.
    Upload,
    /// JSON in a header, to the content host; the result comes in a header and the bytes in the body.
    Download,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as bytes move.
    WhileMoving,
    /// The usual time of a call, in all.
    Call,
    /// The time of a commit, in all.
    Commit,
}

/// One route of the API.
#[derive(Debug)]
pub(super) struct Route {
    /// Its name on the wire, below `/2/`.
    pub(super) name: &'static str,
    /// Which gate it waits at.
    pub(super) class: Class,
    pub(super) style: Style,
    pub(super) patience: Patience,
    /// Whether Dropbox counts it as a data-transport call.
    pub(super) counted: bool,
}

const fn rpc(name: &'static str, class: Class) -> Route {
    Route { name, class, style: Style::Rpc, patience: Patience::Call, counted: false }
}

const fn counted(name: &'static str, class: Class, style: Style, patience: Patience) -> Route {
    Route { name, class, style, patience, counted: true }
}

const fn commit(name: &'static str) -> Route {
    Route { patience: Patience::Commit, ..rpc(name, Class::Commit) }
}

pub(super) static CURRENT_ACCOUNT: Route = rpc("users/get_current_account", Class::Other);
pub(super) static SPACE_USAGE: Route = rpc("users/get_space_usage", Class::Other);
pub(super) static CHECK_USER: Route = rpc("check/user", Class::Other);
pub(super) static REVOKE: Route = rpc("auth/token/revoke", Class::Other);
pub(super) static GET_METADATA: Route = rpc("files/get_metadata", Class::List);

pub(super) static DOWNLOAD: Route =
    Route { style: Style::Download, patience: Patience::WhileMoving, ..rpc("files/download", Class::Download) };

pub(super) static LIST_FOLDER: Route = rpc("files/list_folder", Class::List);
pub(super) static LIST_CONTINUE: Route = rpc("files/list_folder/continue", Class::List);
pub(super) static LATEST_CURSOR: Route = rpc("files/list_folder/get_latest_cursor", Class::List);
pub(super) static LONGPOLL: Route = rpc("files/list_folder/longpoll", Class::List);

pub(super) static START_BATCH: Route =
    counted("files/upload_session/start_batch", Class::Start, Style::Rpc, Patience::Call);
pub(super) static START: Route =
    counted("files/upload_session/start", Class::Start, Style::Upload, Patience::WhileMoving);
pub(super) static APPEND: Route =
    counted("files/upload_session/append_v2", Class::Append, Style::Upload, Patience::WhileMoving);
pub(super) static APPEND_BATCH: Route =
    counted("files/upload_session/append_batch", Class::Append, Style::Upload, Patience::WhileMoving);

pub(super) static FINISH: Route =
    counted("files/upload_session/finish", Class::Commit, Style::Upload, Patience::Commit);
pub(super) static FINISH_BATCH: Route =
    counted("files/upload_session/finish_batch", Class::Commit, Style::Rpc, Patience::Commit);
pub(super) static FINISH_BATCH_V2: Route =
    counted("files/upload_session/finish_batch_v2", Class::Commit, Style::Rpc, Patience::Commit);
pub(super) static FINISH_BATCH_CHECK: Route = rpc("files/upload_session/finish_batch/check", Class::Other);
pub(super) static DELETE_BATCH: Route = commit("files/delete_batch");
pub(super) static DELETE_BATCH_CHECK: Route = rpc("files/delete_batch/check", Class::Other);

pub(super) static CREATE_FOLDER_BATCH: Route = commit("files/create_folder_batch");
pub(super) static CREATE_FOLDER_BATCH_CHECK: Route = rpc("files/create_folder_batch/check", Class::Other);
pub(super) static MOVE_BATCH: Route = commit("files/move_batch_v2");
pub(super) static MOVE_BATCH_CHECK: Route = rpc("files/move_batch/check_v2", Class::Other);
pub(super) static COPY_BATCH: Route = commit("files/copy_batch_v2");
pub(super) static COPY_BATCH_CHECK: Route = rpc("files/copy_batch/check_v2", Class::Other);

pub(super) static LIST_REVISIONS: Route = rpc("files/list_revisions", Class::List);
pub(super) static RESTORE: Route = commit("files/restore");
