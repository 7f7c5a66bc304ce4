//! One request, from its head to its reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::Dropped;
use super::body::Body;
use super::reply::{Asker, Delivery, Reply, ReplyBody};
use super::spoil::{replaced, spoil};
use crate::call::Call;
use crate::control;
use crate::fault::{Effect, Verdict};
use crate::hash;
use crate::routes::{self, Outcome, Route, Style, oauth};
use crate::settings::Settings;
use crate::shared::{Shared, lock};
use crate::state::AccountKey;
use crate::stats::Told;
use crate::violation::ViolationKind;
use crate::wire::{self, Refusal};

/// The largest RPC body that is looked at, in bytes.
const RPC_LIMIT: usize = 16 * 1024 * 1024;

/// Serves one request; an error closes the connection.
pub(crate) async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<ReplyBody>, Dropped> {
    let arrived = shared.now().clock;
    let (head, incoming) = request.into_parts();
    let path = head.uri.path();
    if let Some(rest) = path.strip_prefix("/standin/") {
        let reply = control::serve(&shared, &head.method, rest, incoming).await;
        return Ok(reply.send("control", Delivery::default()));
    }
    let name = path.strip_prefix("/2/").unwrap_or_else(|| path.trim_start_matches('/')).to_owned();
    let settings = shared.settings();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let number = {
        let mut record = lock(&shared.record);
        record.stats.begin(&name);
        record.requests += 1;
        let said =
            |header: &str| head.headers.get(header).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        record.tell(Told {
            route: name.clone(),
            authorized: head.headers.contains_key(AUTHORIZATION),
            select_user: said("dropbox-api-select-user"),
            select_admin: said("dropbox-api-select-admin"),
            path_root: said("dropbox-api-path-root"),
        });
        record.requests
    };
    shared.pulse.beat();
    let verdict = lock(&shared.faults).judge(&name);
    let mut running = Running { shared: Arc::clone(&shared), name: name.clone(), read: Arc::default(), ended: false };
    let cut = verdict.find(|effect| if let Effect::CutRequest(bytes) = effect { Some(*bytes) } else { None });
    let mut body = Body::new(incoming, settings.bandwidth, cut);
    running.read = body.count();
    let head = Head { name, query, method: head.method, headers: head.headers, arrived };
    let result = process(&shared, &settings, &head, &verdict, &mut body).await;
    let reply = match result {
        Ok(reply) => Some(reply),
        Err(refusal) => Reply::refusal(refusal),
    };
    let reply = reply.and_then(|reply| spoil(&verdict, reply));
    if let Some(held) = verdict.find(|effect| if let Effect::StallReply(time) = effect { Some(*time) } else { None }) {
        tokio::time::sleep(held).await;
    }
    running
        .end(reply.as_ref().map_or(0, |reply| reply.status), reply.as_ref().map_or(0, |reply| reply.body.len() as u64));
    let reply = reply.ok_or(Dropped)?;
    // From when it is sent: who has not been told cannot know.
    if let (Some(asker), Some(wait)) = (&reply.asker, reply.wait()) {
        shared.shut_gate(&asker.account, &head.name, asker.argument, wait);
    }
    let slow = verdict.find(|effect| if let Effect::SlowBody(rate) = effect { Some(*rate) } else { None });
    let cut = verdict.find(|effect| if let Effect::CutReply(bytes) = effect { Some(*bytes) } else { None });
    Ok(reply.send(&format!("{number:032x}"), Delivery { rate: slow.or(settings.bandwidth), cut }))
}

/// Ends the count of a request, also of one whose connection went away.
struct Running {
    shared: Arc<Shared>,
    name: String,
    read: Arc<AtomicU64>,
    ended: bool,
}

impl Running {
    fn end(&mut self, status: u16, bytes_out: u64) {
        self.ended = true;
        let bytes_in = self.read.load(Ordering::Relaxed);
        lock(&self.shared.record).stats.end(&self.name, status, bytes_in, bytes_out);
        self.shared.pulse.beat();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.end(0, 0);
        }
    }
}

/// The head of a request.
pub(crate) struct Head {
    /// The route.
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) method: hyper::Method,
    pub(crate) headers: HeaderMap,
    /// When it arrived, on the server's clock.
    pub(crate) arrived: Duration,
}

impl Head {
    pub(crate) fn header(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A parameter of the URL.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

async fn process(
    shared: &Arc<Shared>,
    settings: &Settings,
    head: &Head,
    verdict: &Verdict,
    body: &mut Body,
) -> Result<Reply, Refusal> {
    if verdict.has(&Effect::DropBefore) {
        return Err(Refusal::Drop);
    }
    let stall = verdict.find(|effect| if let Effect::Stall(time) = effect { Some(*time) } else { None });
    let wait = settings.latency + stall.unwrap_or(Duration::ZERO);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > settings.header_cap {
        body.drain().await?;
        let refused = Reply::text(settings.header_refusal, "Request header fields too large");
        return Ok(refused.header(CONNECTION, "close"));
    }
    if head.name.starts_with("oauth2/") {
        return oauth::serve(shared, head, verdict, body).await;
    }
    let known = routes::find(&head.name).filter(|route| !settings.unknown_routes.iter().any(|gone| gone == route.name));
    let Some(route) = known else {
        body.drain().await?;
        if !settings.unknown_routes.contains(&head.name) {
            shared.violate(ViolationKind::UnknownRoute, &head.name, None, "no such route".to_owned());
        }
        return Err(Refusal::BadRequest(format!("Unknown API function: {:?}", head.name)));
    };
    let called = call(shared, settings, head, verdict, body, route).await;
    // What was not read is read now: a client that is still sending would not see the reply.
    body.drain().await?;
    if let Err(Refusal::BadRequest(why)) = &called {
        shared.violate(ViolationKind::BadRequest, route.name, None, why.clone());
    }
    called
}

async fn call(
    shared: &Arc<Shared>,
    settings: &Settings,
    head: &Head,
    verdict: &Verdict,
    body: &mut Body,
    route: &'static Route,
) -> Result<Reply, Refusal> {
    if head.method != hyper::Method::POST {
        return Err(Refusal::BadRequest(format!(
            "Error in call to API function {:?}: Must use HTTP \"POST\"",
            route.name
        )));
    }
    for (name, value) in &head.headers {
        if !value.as_bytes().is_ascii() {
            let detail = format!("header {name} is not ASCII");
            shared.violate(ViolationKind::NonAsciiHeader, route.name, None, detail);
        }
    }
    // Before authentication, so that an account whose token has just expired is still known.
    let token = bearer(head);
    let (account, account_id) = {
        let world = shared.world();
        let key = token.and_then(|token| world.tokens.access.get(token)).map_or(AccountKey(0), |access| access.account);
        (key, world.account(key).id.clone())
    };
    let argument = argument(head, body, route).await;
    let mut call = Call {
        shared: Arc::clone(shared),
        settings: settings.clone(),
        route,
        account,
        account_id,
        token: token.unwrap_or_default().to_owned(),
        verdict: verdict.clone(),
        argument: String::new(),
        headers: head.headers.clone(),
    };
    let argument = argument.map_err(|why| why.into_refusal(&call))?;
    lock(&shared.record).arguments.insert(route.name, argument.clone());
    call.argument = argument;
    let fingerprint = call.fingerprint();
    let telling = Some(fingerprint).filter(|_| route.argument_tells_work());
    if let Some(early) = shared.is_early(&call.account_id, route.name, telling, head.arrived, settings.retry_grace) {
        call.violate(ViolationKind::RetryBeforeRetryAfter, early);
    }
    let reply = answer(&call, head, body).await;
    let mut reply = match reply {
        Ok(reply) => reply,
        Err(refusal) => match Reply::refusal(refusal.reported(&call)) {
            Some(reply) => reply,
            None => return Err(Refusal::Drop),
        },
    };
    reply.asker = Some(Asker { account: call.account_id, argument: fingerprint });
    Ok(reply)
}

async fn answer(call: &Call, head: &Head, body: &mut Body) -> Result<Reply, Refusal> {
    if call.verdict.has(&Effect::TokenExpired) {
        let now = call.now().clock;
        if let Some(access) = call.shared.world().tokens.access.get_mut(&call.token) {
            access.expires = Some(now);
        }
    }
    if let Some(reply) = replaced(&call.verdict) {
        body.drain().await?;
        return reply;
    }
    authenticate(call, head)?;
    path_root(call, head)?;
    transport(call)?;
    if call.verdict.has(&Effect::CursorReset) {
        call.shared.world().account_mut(call.account).tree.generation += 1;
    }
    match routes::dispatch(call, body).await? {
        Outcome::Json(value) => Ok(Reply::json(200, &value)),
        Outcome::Reply(reply) => Ok(reply),
    }
}

impl Refusal {
    /// Records a 400 as the violation that it is.
    fn reported(self, call: &Call) -> Self {
        if let Self::BadRequest(why) = &self {
            call.violate(ViolationKind::BadRequest, why.clone());
        }
        self
    }
}

fn bearer(head: &Head) -> Option<&str> {
    head.header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).map(str::trim)
}

/// The token, its scope, and the rule that a longpoll carries none.
fn authenticate(call: &Call, head: &Head) -> Result<(), Refusal> {
    if call.route.name == "files/list_folder/longpoll" {
        if head.headers.contains_key(AUTHORIZATION) {
            call.violate(ViolationKind::AuthorizationOnLongpoll, "auth is \"noauth\"".to_owned());
            return Err(call.bad("this function does not accept an Authorization header"));
        }
        return Ok(());
    }
    if bearer(head).is_none_or(str::is_empty) {
        return Err(call.bad("Must provide HTTP header \"Authorization\""));
    }
    let world = call.shared.world();
    let access = world.tokens.check(&call.token, call.now().clock).map_err(|tag| Refusal::Auth(wire::union(tag)))?;
    match call.route.scope {
        // TokenScopeError is a struct: its field stands beside the tag.
        Some(scope) if !access.scopes.iter().any(|held| held == scope) => {
            Err(Refusal::Auth(json!({ ".tag": "missing_scope", "required_scope": scope })))
        }
        _ => Ok(()),
    }
}

/// Counts a data transport call, or refuses it as one too many for the month.
fn transport(call: &Call) -> Result<(), Refusal> {
    if !call.route.transport {
        return Ok(());
    }
    let mut world = call.shared.world();
    let account = world.account_mut(call.account);
    if call.settings.transport_limit.is_some_and(|limit| account.transport >= limit) {
        return Err(wire::transport_spent(&call.settings.transport_locale));
    }
    account.transport += 1;
    Ok(())
}

/// `Dropbox-API-Path-Root` (common.stone, `PathRoot`).
fn path_root(call: &Call, head: &Head) -> Result<(), Refusal> {
    let Some(text) = head.header("dropbox-api-path-root") else { return Ok(()) };
    let Ok(root) = serde_json::from_str::<Value>(text) else {
        return Err(call.bad("HTTP header \"Dropbox-API-Path-Root\": not JSON"));
    };
    let world = call.shared.world();
    let account = world.account(call.account);
    let named = |field: &str| root.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    match root.get(".tag").and_then(Value::as_str) {
        Some("home") => Ok(()),
        Some("root" | "namespace_id") if call.settings.app_folder => {
            Err(Refusal::PathRoot(json!({ ".tag": "no_permission" })))
        }
        Some("root") if named("root") == account.root_namespace && !account.root_refused => Ok(()),
        Some("root") => Err(Refusal::PathRoot(json!({ ".tag": "invalid_root", "invalid_root": account.root_info() }))),
        Some("namespace_id") => {
            let id = named("namespace_id");
            if id == account.root_namespace || id == account.home_namespace {
                return Ok(());
            }
            Err(Refusal::PathRoot(json!({ ".tag": "no_permission" })))
        }
        _ => Err(call.bad("HTTP header \"Dropbox-API-Path-Root\": unknown tag")),
    }
}

enum BadArgument {
    Text(&'static str),
    Refused(Refusal),
}

impl BadArgument {
    fn into_refusal(self, call: &Call) -> Refusal {
        match self {
            Self::Text(why) => call.bad(why),
            Self::Refused(refusal) => refusal,
        }
    }
}

/// The JSON of the argument, from where the route's style has it.
async fn argument(head: &Head, body: &mut Body, route: &Route) -> Result<String, BadArgument> {
    let kind = head.header(CONTENT_TYPE).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let carried = || {
        let header =
            head.headers.get("dropbox-api-arg").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        header
            .or_else(|| head.parameter("arg"))
            .ok_or(BadArgument::Text("Must provide HTTP header \"Dropbox-API-Arg\" or URL parameter \"arg\""))
    };
    match route.style {
        Style::Rpc => {
            let data = body.collect(RPC_LIMIT).await.map_err(BadArgument::Refused)?;
            if kind != Some("application/json") && !data.is_empty() {
                return Err(BadArgument::Text("Bad HTTP \"Content-Type\" header: expecting \"application/json\""));
            }
            String::from_utf8(data.to_vec())
                .map_err(|_| BadArgument::Text("request body: could not decode input as JSON"))
        }
        Style::Upload if kind != Some("application/octet-stream") => {
            Err(BadArgument::Text("Bad HTTP \"Content-Type\" header: expecting \"application/octet-stream\""))
        }
        Style::Upload => carried(),
        Style::Download => {
            // "if present, must be text/plain or application/octet-stream"; a download has no body.
            body.drain().await.map_err(BadArgument::Refused)?;
            if kind.is_some_and(|kind| !matches!(kind, "" | "text/plain" | "application/octet-stream")) {
                return Err(BadArgument::Text("Bad HTTP \"Content-Type\" header for a download"));
            }
            carried()
        }
    }
}

/// Whether a body has this content hash, where one was given; the text's length was checked with the argument.
pub(crate) fn hash_matches(given: Option<&str>, found: &hash::Digest) -> bool {
    given.is_none_or(|given| given.eq_ignore_ascii_case(&hash::hex(found)))
}
