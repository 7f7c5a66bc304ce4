//! What a client is built from: addresses, the path root, time-outs.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect;
use url::{Host, Url};

/// The four hosts. `http` is allowed for loopback addresses only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    api: Url,
    content: Url,
    notify: Url,
    web: Url,
}

impl Endpoints {
    /// Checks the four addresses; each may have a path of its own, which is kept.
    ///
    /// # Errors
    /// [`SetupError::Endpoint`] names the first key that is not `https`, or `http` to a loopback address.
    pub fn new(api: &str, content: &str, notify: &str, web: &str) -> Result<Self, SetupError> {
        Ok(Self {
            api: checked("api", api)?,
            content: checked("content", content)?,
            notify: checked("notify", notify)?,
            web: checked("web", web)?,
        })
    }

    /// RPC calls and the token call.
    pub fn api(&self) -> &Url {
        &self.api
    }

    /// Calls with bytes.
    pub fn content(&self) -> &Url {
        &self.content
    }

    /// Longpoll, which carries no token.
    pub fn notify(&self) -> &Url {
        &self.notify
    }

    /// The authorisation page.
    pub fn web(&self) -> &Url {
        &self.web
    }
}

fn checked(key: &'static str, text: &str) -> Result<Url, SetupError> {
    let wrong = |why: &str| SetupError::Endpoint { key, why: why.to_owned() };
    let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(wrong("it has no host")),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("write only scheme, host, port and path: no user, no `?`, no `#`"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => {
            Err(wrong("http would send the account's token in the clear; write https (http is for loopback only)"))
        }
        other => Err(wrong(&format!("`{other}` is not https"))),
    }
}

/// What the paths of an account are relative to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRoot {
    /// The member's own home: Dropbox's default.
    #[default]
    Home,
    /// The root namespace: a team's space where there is one. Its id is asked for once, and again after Dropbox says that it changed.
    Root,
    /// One namespace.
    Namespace(String),
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// No byte sent or received while a body is under way.
    pub idle: Duration,
    /// A call without a body, in all.
    pub call: Duration,
    /// A commit, in all; afterwards its outcome is unknown.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            call: Duration::from_secs(90),
            commit: Duration::from_secs(120),
        }
    }
}

/// Everything but the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to call.
    pub endpoints: Endpoints,
    /// What paths are relative to.
    pub path_root: PathRoot,
    /// `dbmid:...`: act as this member of the team.
    pub select_user: Option<String>,
    /// `dbmid:...`: act as this admin of the team.
    pub select_admin: Option<String>,
    /// One more certificate authority (PEM), beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Uploads side by side: how many content connections are kept.
    pub connections: usize,
    /// What the program calls itself.
    pub user_agent: String,
    /// Bytes of bodies a second; none: as fast as it goes.
    pub bandwidth: Option<u64>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

impl Settings {
    /// The usual settings for these addresses.
    pub fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            path_root: PathRoot::Home,
            select_user: None,
            select_admin: None,
            ca_file: None,
            connections: 8,
            user_agent: concat!("ferrybox/", env!("CARGO_PKG_VERSION")).to_owned(),
            bandwidth: None,
            timeouts: Timeouts::default(),
        }
    }

    /// The client for RPC calls: many small ones on one connection.
    pub(crate) fn api_client(&self) -> Result<reqwest::Client, SetupError> {
        self.build(self.builder()?)
    }

    /// The client for bodies: one connection an upload, so that uploads do not share one window.
    pub(crate) fn content_client(&self) -> Result<reqwest::Client, SetupError> {
        self.build(self.builder()?.http1_only().pool_max_idle_per_host(self.connections.max(1)))
    }

    fn build(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, SetupError> {
        builder.build().map_err(|e| SetupError::Tls(crate::dropbox::error::chain(&e.without_url())))
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder, SetupError> {
        install_tls_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.timeouts.connect)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(55))
            .tls_version_min(reqwest::tls::Version::TLS_1_2);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            builder = builder.tcp_user_timeout(self.timeouts.idle);
        }
        if let Some(path) = &self.ca_file {
            let wrong = |why: String| SetupError::CaFile { path: path.clone(), why };
            let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
            let certs =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(crate::dropbox::error::chain(&e)))?;
            if certs.is_empty() {
                return Err(wrong("it holds no certificate in PEM form".to_owned()));
            }
            builder = builder.tls_certs_merge(certs);
        }
        Ok(builder)
    }
}

/// Makes `ring` the process's TLS provider. Needed before any client is built; doing it again changes nothing.
pub fn install_tls_provider() {
    // An error says only that a provider is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Why no client can be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// An address of the configuration.
    #[error("account.endpoints.{key} cannot be used: {why}")]
    Endpoint {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The additional certificate authority.
    #[error("account.endpoints.ca_file `{}` cannot be used: {why}", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A value that cannot stand in an HTTP header.
    #[error("account.{key} cannot be sent as an HTTP header: write plain ASCII without line breaks")]
    Header {
        /// The key of the configuration.
        key: &'static str,
    },
    /// No TLS.
    #[error("TLS cannot be set up: {0}. On a system without certificates install `ca-certificates`, or set ca_file")]
    Tls(String),
    /// No randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}
