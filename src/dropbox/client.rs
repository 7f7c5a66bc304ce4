//! The client: sends one call, watches it, and judges what comes back.

pub(super) mod body;
pub(super) mod gate;
pub(super) mod refusals;
pub(super) mod reply;
pub(super) mod settings;
pub(super) mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::auth::{Counter, Ticket, Tokens};
use super::error::{AuthError, CallError, Transport, TransportKind};
use crate::dropbox::auth::token_call::address;
use crate::dropbox::client::body::{Body, Flow, Watch};
use crate::dropbox::client::gate::{Class, Gates};
use crate::dropbox::client::refusals::{RootRefusals, is_rooted};
use crate::dropbox::client::reply::{Reply, Verdict, broken, parse};
use crate::dropbox::client::settings::{PathRoot, Settings, SetupError};
use crate::dropbox::routes::{Route, Style};
use crate::env;
use crate::model::Failure;

mod request;

const PATH_ROOT: HeaderName = HeaderName::from_static("dropbox-api-path-root");
const ARG: HeaderName = HeaderName::from_static("dropbox-api-arg");

/// Asked before each call of a class, as [`Dropbox::waiting`] names it, how long it has to wait; and told of what else goes on.
pub type Governor = Box<dyn Fn(&'static str, Going) -> Duration + Send + Sync>;

/// What a [`Governor`] is asked or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// A call is about to be made: it counts.
    Call,
    /// A call would be made as soon as it may: it does not count yet.
    Look,
    /// A call has carried content.
    Carried,
}

/// Asked before each data-transport call goes out, with its route and whether it commits; one that is refused is not made.
pub type Meter = Box<dyn Fn(&'static str, bool) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// Dropbox, for one account. Clones share connections, tokens, gates and counts.
#[derive(Clone)]
pub struct Dropbox(Arc<Inner>);

struct Inner {
    settings: Settings,
    tokens: Tokens,
    api: reqwest::Client,
    content: reqwest::Client,
    /// `Select-User`, `Select-Admin`: the same with every call that carries a token.
    fixed: HeaderMap,
    /// The path root's header, once it is known; it must be asked for where the configuration says `root`.
    root: tokio::sync::Mutex<Option<HeaderValue>>,
    gates: Gates,
    refusals: RootRefusals,
    /// How long a call of a class has to wait, by a rule of the daemon's.
    governor: OnceLock<Governor>,
    /// Counts data-transport calls before they are made.
    meter: OnceLock<Meter>,
    flow: Arc<Flow>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

/// What a call carries.
struct Load<'a> {
    json: &'a str,
    root: Option<HeaderValue>,
    /// Which bytes of a download.
    range: Option<&'a str>,
}

/// What a good call gives: the whole reply, or a download whose head was read.
enum Got {
    Bytes(Vec<u8>),
    Open(Box<reqwest::Response>),
}

/// What came: a reply, read whole, or a download whose head was read.
enum Came {
    Whole(Reply),
    Open(Box<reqwest::Response>),
}

impl Got {
    fn bytes(self) -> Result<Vec<u8>, CallError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Open(_) => Err(Transport::protocol("a download came where none was asked for").into()),
        }
    }
}

/// A good reply whose body is still to come.
pub(crate) struct Opened {
    pub(crate) response: reqwest::Response,
    pub(crate) flow: std::sync::Arc<Flow>,
    pub(crate) idle: Duration,
}

impl Dropbox {
    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] says which setting cannot be used.
    pub fn new(settings: Settings, tokens: Tokens) -> Result<Self, SetupError> {
        Self::behind(Gates::default(), settings, tokens)
    }

    /// As [`Dropbox::new`], behind gates that another client of the account may have closed: what the server asked of one holds for the other.
    ///
    /// # Errors
    /// [`SetupError`] says which setting cannot be used.
    pub fn behind(gates: Gates, settings: Settings, tokens: Tokens) -> Result<Self, SetupError> {
        let mut fixed = HeaderMap::new();
        for (key, name, value) in [
            ("select_user", "dropbox-api-select-user", &settings.select_user),
            ("select_admin", "dropbox-api-select-admin", &settings.select_admin),
        ] {
            if let Some(value) = value {
                let value = HeaderValue::from_str(value).map_err(|_| SetupError::Header { key })?;
                fixed.insert(HeaderName::from_static(name), value);
            }
        }
        let root = match &settings.path_root {
            PathRoot::Namespace(id) => {
                let value = root_header(&json!({".tag": "namespace_id", "namespace_id": id}));
                Some(value.ok_or(SetupError::Header { key: "path_root" })?)
            }
            PathRoot::Home | PathRoot::Root => None,
        };
        let (api, content) = (settings.api_client()?, settings.content_client()?);
        let flow = Arc::new(Flow::default());
        flow.limit(settings.bandwidth);
        Ok(Self(Arc::new(Inner {
            settings,
            tokens,
            api,
            content,
            fixed,
            root: tokio::sync::Mutex::new(root),
            gates,
            refusals: RootRefusals::default(),
            governor: OnceLock::new(),
            meter: OnceLock::new(),
            flow,
            counts: Mutex::default(),
        })))
    }

    /// The client's gates.
    pub fn gates(&self) -> Gates {
        self.0.gates.clone()
    }

    /// The account's tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// What the client was built from.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// When the server allows the next call of every class; none if it does not make us wait.
    pub fn rate_limited_until(&self) -> Option<Timestamp> {
        self.0.gates.until()
    }

    /// Asks this before every call from now on; only the first one is taken.
    pub fn govern(&self, governor: Governor) {
        let _ = self.0.governor.set(governor);
    }

    /// Asks this before every data-transport call from now on; only the first one is taken.
    pub fn meter(&self, meter: Meter) {
        let _ = self.0.meter.set(meter);
    }

    /// Somebody asked: what waits since it was refused again and again is tried once, now.
    pub fn hurry(&self) {
        self.0.tokens.hurry();
        self.0.refusals.hurry(env::instant());
    }

    /// Waits until a call of this class may be made.
    async fn pass(&self, class: Class) {
        if let Some(governor) = self.0.governor.get() {
            let wait = governor(class.name(), Going::Call);
            if !wait.is_zero() {
                env::sleep(wait).await;
            }
        }
        self.0.gates.pass(class).await;
    }

    /// A call has carried content: that is work, however many there are.
    fn carried(&self, class: Class) {
        if let Some(governor) = self.0.governor.get().filter(|_| matches!(class, Class::Append | Class::Download)) {
            governor(class.name(), Going::Carried);
        }
    }

    /// Which classes of calls the server makes wait, and until when.
    pub fn waiting(&self) -> Vec<(&'static str, Timestamp)> {
        self.0.gates.waiting()
    }

    /// Data-transport calls since the last time this was asked, by route. Counted when they are sent, whatever comes of them.
    pub fn take_transport_counts(&self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut *self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// Bytes of bodies handed to the network since the start, those of failed calls too.
    pub fn bytes_sent(&self) -> u64 {
        self.0.flow.sent.load(Ordering::Relaxed)
    }

    /// Bytes of replies since the start.
    pub fn bytes_received(&self) -> u64 {
        self.0.flow.received.load(Ordering::Relaxed)
    }

    /// Sets the speed of downloads in bytes a second, also of those under way.
    pub fn set_download_bandwidth(&self, bytes_per_second: Option<u64>) {
        self.0.flow.limit_arrivals(bytes_per_second);
    }

    /// Sets the speed of bodies that are sent, in bytes a second, also of those under way.
    pub fn set_bandwidth(&self, bytes_per_second: Option<u64>) {
        self.0.flow.limit(bytes_per_second);
    }

    /// A call without bytes.
    pub(super) async fn rpc(&self, route: &'static Route, arg: &Value) -> Result<Value, CallError> {
        self.rpc_json(route, arg.to_string()).await
    }

    /// A call without bytes whose argument is written already.
    pub(super) async fn rpc_json(&self, route: &'static Route, json: String) -> Result<Value, CallError> {
        Ok(parse(&self.rpc_bytes(route, &json).await?, route.name)?)
    }

    /// The same, with the reply as it came: JSON by its type, not read yet. Where the path root is asked for and has changed (422), it is
    /// asked for again, and the call is made once more if it is another one now.
    pub(super) async fn rpc_bytes(&self, route: &'static Route, json: &str) -> Result<Vec<u8>, CallError> {
        self.call_again(route, json, None).await?.bytes()
    }

    /// Begins a download of all bytes or those in `range`; `arg` is ASCII already.
    pub(super) async fn open(
        &self,
        route: &'static Route,
        arg: &str,
        range: Option<&str>,
    ) -> Result<Opened, CallError> {
        match self.call_again(route, arg, range).await? {
            Got::Open(response) => {
                let (flow, idle) = (self.0.flow.clone(), self.0.settings.timeouts.idle);
                Ok(Opened { response: *response, flow, idle })
            }
            Got::Bytes(_) => Err(Transport::protocol(format!("{}: no file came", route.name)).into()),
        }
    }

    async fn call_again(&self, route: &'static Route, json: &str, range: Option<&str>) -> Result<Got, CallError> {
        let root = self.root().await?;
        let outcome = self.call(route, Load { json, root: root.clone(), range }, None).await;
        match outcome {
            Err(CallError::Api(e)) if e.status == 422 && self.0.settings.path_root == PathRoot::Root => {
                let now = self.root().await?;
                if now == root {
                    return Err(CallError::Api(e));
                }
                self.call(route, Load { json, root: now, range }, None).await
            }
            outcome => outcome,
        }
    }

    /// The same without a path root: for the call that finds it.
    pub(super) async fn rpc_without_root(&self, route: &'static Route) -> Result<Value, CallError> {
        let load = Load { json: "null", root: None, range: None };
        Ok(parse(&self.call(route, load, None).await?.bytes()?, route.name)?)
    }

    /// A call with bytes; `arg` is ASCII already.
    pub(super) async fn upload(&self, route: &'static Route, arg: String, body: Body) -> Result<Value, CallError> {
        let root = self.root().await?;
        let load = Load { json: &arg, root, range: None };
        Ok(parse(&self.call(route, load, Some(body)).await?.bytes()?, route.name)?)
    }

    /// The namespace that calls are made in right now, where it was asked for by name: another one is another tree, and no cursor of the old
    /// one is worth anything. `None`: it is fixed, or not known yet.
    pub async fn asked_root(&self) -> Option<String> {
        if self.0.settings.path_root != PathRoot::Root {
            return None;
        }
        let header = self.0.root.lock().await.clone()?;
        let value: Value = serde_json::from_slice(header.as_bytes()).ok()?;
        value.get("root").and_then(Value::as_str).map(str::to_owned)
    }

    /// The path root's header, asked for once.
    async fn root(&self) -> Result<Option<HeaderValue>, CallError> {
        if self.0.settings.path_root == PathRoot::Home {
            return Ok(None);
        }
        let mut known = self.0.root.lock().await;
        if known.is_none() {
            let account = Box::pin(self.current_account()).await?;
            let value = root_header(&json!({".tag": "root", "root": account.root_namespace_id}));
            *known = Some(value.ok_or_else(|| Transport::protocol("the root namespace's id is not plain ASCII"))?);
        }
        Ok(known.clone())
    }

    /// Returns once a change to Dropbox's tree would be sent at once: there is a token (or none is to be had, as the call will say), its gate is open, and
    /// the governor lets it pass. What has to be looked at right before such a call is looked at after this.
    pub async fn until_commit(&self) {
        let inner = &*self.0;
        let counter =
            Counter { http: &inner.api, api: inner.settings.endpoints.api(), patience: inner.settings.timeouts.call };
        inner.tokens.prepare(&counter).await;
        if let Some(governor) = inner.governor.get() {
            let wait = governor(Class::Commit.name(), Going::Look);
            if !wait.is_zero() {
                env::sleep(wait).await;
            }
        }
        inner.gates.pass(Class::Commit).await;
    }

    /// One call; a second time only if the access token had expired and the body can be read again.
    async fn call(&self, route: &'static Route, load: Load<'_>, mut body: Option<Body>) -> Result<Got, CallError> {
        let inner = &*self.0;
        let counter =
            Counter { http: &inner.api, api: inner.settings.endpoints.api(), patience: inner.settings.timeouts.call };
        let mut ticket = match inner.tokens.ticket(&counter).await {
            Ok(ticket) => ticket,
            Err(error) => return Err(self.note(route, error).await),
        };
        let mut renewed = false;
        loop {
            // After the token, which may take its time: the gate may have closed meanwhile.
            self.pass(route.class).await;
            if is_rooted(route) {
                inner.refusals.pass(env::instant())?;
            }
            let reply = match self.send(route, &load, body.as_mut(), &ticket).await? {
                Came::Open(response) => {
                    self.went_through(route, &ticket).await;
                    return Ok(Got::Open(response));
                }
                Came::Whole(reply) => reply,
            };
            let reply = self.without_secrets(reply, Some(&ticket)).await;
            match reply.judge(route.name, inner.tokens.account()) {
                Verdict::Result(bytes) => {
                    self.went_through(route, &ticket).await;
                    return Ok(Got::Bytes(bytes));
                }
                Verdict::Expired(tag) if !renewed => {
                    ticket = inner.tokens.renewed(ticket.generation, &tag, &counter).await?;
                    renewed = true;
                }
                // A token that was renewed a moment ago has expired: strange, but not the end of the link.
                Verdict::Expired(tag) if tag == "expired_access_token" => {
                    return Err(inner.tokens.unaccepted(ticket.generation).await.into());
                }
                Verdict::Expired(tag) => {
                    let account = inner.tokens.account().to_owned();
                    return Err(AuthError::Relink { account, reason: tag }.into());
                }
                Verdict::Error(error) => {
                    // Whatever it says: a token without which it would have said nothing was taken, and so was the root.
                    if let CallError::Api(refused) = &error {
                        inner.tokens.accepted(ticket.generation).await;
                        if is_rooted(route) && refused.status == 409 {
                            inner.refusals.over();
                        }
                    }
                    return Err(self.note(route, error).await);
                }
            }
        }
    }

    /// A refusal's texts are told in the status and the log: without the account's secrets, which a server may quote.
    async fn without_secrets(&self, mut reply: Reply, ticket: Option<&Ticket>) -> Reply {
        if !reply.status.is_success() {
            let mut secrets = self.0.tokens.secrets().await;
            secrets.extend(ticket.map(|ticket| ticket.token.clone()));
            reply.redact(secrets.iter().map(|secret| secret.expose_secret()));
        }
        reply
    }

    async fn went_through(&self, route: &'static Route, ticket: &Ticket) {
        self.0.tokens.accepted(ticket.generation).await;
        if is_rooted(route) {
            self.0.refusals.over();
        }
        self.carried(route.class);
    }

    /// A call that waits for something to happen, to the host that takes no token. It ends after `patience` at the latest.
    pub(super) async fn wait_call(
        &self,
        route: &'static Route,
        json: String,
        patience: Duration,
    ) -> Result<Value, CallError> {
        let inner = &*self.0;
        self.pass(route.class).await;
        // Neither a member nor a root: they say more about who carries a token, and the cursor says which tree it is about.
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let address = address(inner.settings.endpoints.notify(), &format!("2/{}", route.name));
        let request = inner.api.post(address).headers(headers).body(json);
        let exchange = async {
            let response = request.send().await.map_err(|e| broken(e, &format!("during {}", route.name)))?;
            Reply::read(response, &Watch::new()).await
        };
        let reply = env::timeout(patience, exchange).await.unwrap_or_else(|_| {
            let text = format!("{}: no answer came for {patience:?}", route.name);
            Err(Transport::new(TransportKind::Timeout, text, false))
        })?;
        inner.flow.received.fetch_add(reply.bytes.len() as u64, Ordering::Relaxed);
        let reply = self.without_secrets(reply, None).await;
        match reply.judge(route.name, inner.tokens.account()) {
            Verdict::Result(bytes) => Ok(parse(&bytes, route.name)?),
            Verdict::Expired(tag) => {
                Err(AuthError::Refused { tag: format!("{tag} at a call that carries no token") }.into())
            }
            Verdict::Error(error) => Err(self.note(route, error).await),
        }
    }

    /// What an error means for the calls that follow.
    async fn note(&self, route: &'static Route, error: CallError) -> CallError {
        let inner = &*self.0;
        match &error {
            CallError::Throttled(t) => {
                // Without a word of how long, the row's own backoff decides.
                if let Some(after) = t.after {
                    if t.reason.contains("too_many_requests") {
                        inner.gates.close_all(after);
                    } else {
                        inner.gates.close(route.class, after);
                    }
                }
            }
            CallError::Transport(Transport { retry_after: Some(after), .. }) => inner.gates.close(route.class, *after),
            CallError::Api(e) => {
                if let Some(after) = e.retry_after {
                    inner.gates.close(route.class, after);
                }
                if e.status == 422 && inner.settings.path_root == PathRoot::Root {
                    // The reply says which root it ought to be. One that says the same as we did helps nobody: then the account is asked.
                    let told = told_root(&e.error).and_then(|id| root_header(&json!({".tag": "root", "root": id})));
                    let mut known = inner.root.lock().await;
                    *known = told.filter(|told| known.as_ref() != Some(told));
                }
                if e.is("invalid_root") && is_rooted(route) {
                    return inner.refusals.note((**e).clone(), env::instant());
                }
            }
            _ => {}
        }
        error
    }

    /// Sends once and reads the reply; of a download that begins, its head only.
    async fn send(
        &self,
        route: &'static Route,
        load: &Load<'_>,
        body: Option<&mut Body>,
        ticket: &Ticket,
    ) -> Result<Came, CallError> {
        let inner = &*self.0;
        let watch = Watch::new();
        let request = self.request(route, load, body, ticket, &watch)?;
        if route.counted {
            if let Some(meter) = inner.meter.get() {
                meter(route.name, route.class == Class::Commit).await.map_err(CallError::Held)?;
            }
            *inner.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(route.name).or_default() += 1;
        }
        let started = env::instant();
        let exchange = async {
            let response = request.send().await.map_err(|e| broken(e, &format!("during {}", route.name)))?;
            watch.touch();
            if route.style == Style::Download && response.status().is_success() {
                return Ok(Came::Open(Box::new(response)));
            }
            // Once a reply has begun, it must come whole: a byte now and then is no movement.
            let whole = inner.settings.timeouts.commit.max(inner.settings.timeouts.call);
            let reply = env::timeout(whole, Reply::read(response, &watch)).await.unwrap_or_else(|_| {
                let text = format!("{}: the reply did not end within {whole:?}", route.name);
                Err(Transport::new(TransportKind::Timeout, text, true))
            });
            reply.map(Came::Whole)
        };
        let outcome = self.within(route, &watch, exchange).await;
        // The stream's own error comes first: what the network says then only follows from it.
        if let Some(error) = watch.take_error() {
            return Err(CallError::Body(error));
        }
        let came = outcome?;
        let (status, request_id) = match &came {
            Came::Whole(reply) => {
                inner.flow.received.fetch_add(reply.bytes.len() as u64, Ordering::Relaxed);
                (reply.status, reply.request_id())
            }
            Came::Open(response) => (response.status(), None),
        };
        let ms = started.elapsed().as_millis();
        tracing::debug!(route = route.name, status = status.as_u16(), ms, request_id, "call");
        Ok(came)
    }
}

impl fmt::Debug for Dropbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dropbox").field("tokens", &self.0.tokens).finish_non_exhaustive()
    }
}

/// The root that a refusal names.
fn told_root(error: &Value) -> Option<&str> {
    let id = error.get("invalid_root")?.get("root_namespace_id")?.as_str()?;
    Some(id).filter(|id| !id.is_empty() && id.len() <= 32)
}

fn root_header(value: &Value) -> Option<HeaderValue> {
    HeaderValue::from_str(&wire::ascii(&value.to_string())).ok()
}
