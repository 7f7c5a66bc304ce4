//! The routes of the specification, by area, and what each is called with.

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod download;
pub(crate) mod listing;
pub(crate) mod metadata;
pub(crate) mod oauth;
pub(crate) mod session;
pub(crate) mod upload;
pub(crate) mod write;

use serde_json::Value;

use crate::call::Call;
use crate::http::body::Body;
use crate::http::reply::Reply;
use crate::wire::Refusal;

/// How arguments and bytes travel (stone_cfg.stone, `style`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Rpc,
    Upload,
    Download,
}

/// A route of the specification.
#[derive(Debug)]
pub(crate) struct Route {
    /// As on the wire, without `/2/`.
    pub(crate) name: &'static str,
    pub(crate) style: Style,
    pub(crate) scope: Option<&'static str>,
    /// Its text says "will count as data transport calls".
    pub(crate) transport: bool,
}

const fn route(name: &'static str, style: Style, scope: &'static str, transport: bool) -> Route {
    Route { name, style, scope: Some(scope), transport }
}

impl Route {
    /// Whether two calls with one argument do the same work. Those that start a session or ask about the account read alike whatever they are for:
    /// three workers that each start a session send the same bytes, and none of them repeats another.
    pub(crate) fn argument_tells_work(&self) -> bool {
        const ALIKE: &[&str] = &[
            "check/user",
            "users/get_current_account",
            "users/get_space_usage",
            "files/upload_session/start",
            "files/upload_session/start_batch",
        ];
        !ALIKE.contains(&self.name)
    }
}

const READ: &str = "files.metadata.read";
const WRITE: &str = "files.content.write";

/// All routes that this server has.
pub(crate) static ROUTES: &[Route] = &[
    Route { name: "auth/token/revoke", style: Style::Rpc, scope: None, transport: false },
    route("check/user", Style::Rpc, "account_info.read", false),
    route("users/get_current_account", Style::Rpc, "account_info.read", false),
    route("users/get_space_usage", Style::Rpc, "account_info.read", false),
    route("files/list_folder", Style::Rpc, READ, false),
    route("files/list_folder/continue", Style::Rpc, READ, false),
    route("files/list_folder/get_latest_cursor", Style::Rpc, READ, false),
    Route { name: "files/list_folder/longpoll", style: Style::Rpc, scope: None, transport: false },
    route("files/get_metadata", Style::Rpc, READ, false),
    route("files/list_revisions", Style::Rpc, READ, false),
    route("files/restore", Style::Rpc, WRITE, false),
    route("files/upload", Style::Upload, WRITE, true),
    route("files/upload_session/start", Style::Upload, WRITE, true),
    route("files/upload_session/start_batch", Style::Rpc, WRITE, true),
    route("files/upload_session/append_v2", Style::Upload, WRITE, true),
    route("files/upload_session/append_batch", Style::Upload, WRITE, true),
    route("files/upload_session/finish", Style::Upload, WRITE, true),
    route("files/upload_session/finish_batch", Style::Rpc, WRITE, true),
    route("files/upload_session/finish_batch_v2", Style::Rpc, WRITE, true),
    route("files/upload_session/finish_batch/check", Style::Rpc, WRITE, false),
    route("files/delete_v2", Style::Rpc, WRITE, false),
    route("files/delete_batch", Style::Rpc, WRITE, false),
    route("files/delete_batch/check", Style::Rpc, WRITE, false),
    route("files/create_folder_v2", Style::Rpc, WRITE, false),
    route("files/create_folder_batch", Style::Rpc, WRITE, false),
    route("files/create_folder_batch/check", Style::Rpc, WRITE, false),
    route("files/move_v2", Style::Rpc, WRITE, false),
    route("files/copy_v2", Style::Rpc, WRITE, false),
    route("files/move_batch_v2", Style::Rpc, WRITE, false),
    route("files/move_batch/check_v2", Style::Rpc, WRITE, false),
    route("files/copy_batch_v2", Style::Rpc, WRITE, false),
    route("files/copy_batch/check_v2", Style::Rpc, WRITE, false),
    route("files/download", Style::Download, "files.content.read", false),
];

/// The route of this name.
pub(crate) fn find(name: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.name == name)
}

/// What a route gives: a JSON result, or (download) a whole reply.
pub(crate) enum Outcome {
    Json(Value),
    Reply(Reply),
}

/// Calls a route.
pub(crate) async fn dispatch(call: &Call, body: &mut Body) -> Result<Outcome, Refusal> {
    let json = match call.route.name {
        "auth/token/revoke" => account::revoke(call),
        "check/user" => account::check_user(call),
        "users/get_current_account" => account::current(call),
        "users/get_space_usage" => account::space_usage(call),
        "files/list_folder" => listing::list_folder(call).await,
        "files/list_folder/continue" => listing::list_continue(call).await,
        "files/list_folder/get_latest_cursor" => listing::latest_cursor(call),
        "files/list_folder/longpoll" => listing::longpoll(call).await,
        "files/get_metadata" => metadata::get_metadata(call),
        "files/list_revisions" => metadata::list_revisions(call),
        "files/restore" => write::restore(call).await,
        "files/upload" => upload::upload(call, body).await,
        "files/upload_session/start" => session::start(call, body).await,
        "files/upload_session/start_batch" => session::start_batch(call),
        "files/upload_session/append_v2" => session::append(call, body).await,
        "files/upload_session/append_batch" => session::append_batch(call, body).await,
        "files/upload_session/finish" => session::finish(call, body).await,
        "files/upload_session/finish_batch" => batch::finish_batch(call).await,
        "files/upload_session/finish_batch_v2" => batch::finish_batch_v2(call).await,
        "files/delete_batch" => batch::delete_batch(call).await,
        "files/move_batch_v2" => batch::relocate_batch(call, false).await,
        "files/copy_batch_v2" => batch::relocate_batch(call, true).await,
        "files/create_folder_batch" => batch::create_folder_batch(call).await,
        "files/upload_session/finish_batch/check" => batch::check(call, "files/upload_session/finish_batch"),
        "files/delete_batch/check" => batch::check(call, "files/delete_batch"),
        "files/move_batch/check_v2" => batch::check(call, "files/move_batch_v2"),
        "files/copy_batch/check_v2" => batch::check(call, "files/copy_batch_v2"),
        "files/create_folder_batch/check" => batch::check(call, "files/create_folder_batch"),
        "files/delete_v2" => write::delete(call).await,
        "files/create_folder_v2" => write::create_folder(call).await,
        "files/move_v2" => write::relocate(call, false).await,
        "files/copy_v2" => write::relocate(call, true).await,
        "files/download" => return download::download(call).map(Outcome::Reply),
        other => Err(Refusal::BadRequest(format!("Unknown API function: {other:?}"))),
    };
    json.map(Outcome::Json)
}
