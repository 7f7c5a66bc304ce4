//! A server that answers what a test tells it, and remembers what it was asked. Plain sockets, so that it can break off anywhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferrybox::dropbox::{Credentials, Dropbox, Endpoints, Settings, Tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const CANARY: &str = "sl.CANARY-access-0123456789";
pub(crate) const REFRESH: &str = "CANARY-refresh-9876543210";
pub(crate) const EXPIRED: &str =
    r#"{"error_summary": "expired_access_token/..", "error": {".tag": "expired_access_token"}}"#;

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn arg(&self) -> serde_json::Value {
        serde_json::from_str(&self.headers["dropbox-api-arg"]).unwrap()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, and then nothing more.
    Stall(Vec<u8>),
    /// After the request was read.
    Hang,
}

pub(crate) fn json(status: u16, body: &str) -> Answer {
    Answer::Http(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

pub(crate) fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Answer::Http(_, headers, _) = &mut answer {
        headers.retain(|(n, _)| *n != name);
        headers.push((name, value.to_owned()));
    }
    answer
}

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

pub(crate) struct Server {
    pub(crate) base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(script), false).await
    }

    /// Breaks off before a body is read.
    pub(crate) async fn cutting() -> Self {
        Self::serve(Arc::new(|_: &Asked| Answer::Hang), true).await
    }

    async fn serve(script: Script, cut: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = asked.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, script.clone(), log.clone(), cut));
            }
        });
        Self { base, asked, _tasks: tasks }
    }

    /// The first access token has expired when it comes; a call with a later one gets this answer. With it goes how many tokens were given.
    pub(crate) async fn expiring(answer: Answer) -> (Self, Arc<AtomicUsize>) {
        let renewals = Arc::new(AtomicUsize::new(0));
        let given = renewals.clone();
        let server = Self::start(move |asked: &Asked| match asked.path.as_str() {
            "/oauth2/token" => {
                let n = given.fetch_add(1, Ordering::SeqCst) + 1;
                json(200, &format!(r#"{{"access_token": "{CANARY}-{n}", "expires_in": 14400}}"#))
            }
            _ if asked.headers["authorization"].ends_with("-1") => json(401, EXPIRED),
            _ => answer.clone(),
        });
        (server.await, renewals)
    }

    /// Answers every call with the same.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|a| a.path == path).count()
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(Endpoints::new(&self.base, &self.base, &self.base, &self.base).unwrap());
        settings.timeouts.connect = Duration::from_secs(2);
        settings.timeouts.idle = Duration::from_millis(400);
        settings.timeouts.call = Duration::from_millis(800);
        settings.timeouts.commit = Duration::from_millis(800);
        settings
    }

    /// A client with a token that is never renewed.
    pub(crate) fn client(&self) -> Dropbox {
        Dropbox::new(self.settings(), Tokens::new("home", static_token())).unwrap()
    }

    /// A client that must get its token first.
    pub(crate) fn renewing(&self) -> Dropbox {
        Dropbox::new(self.settings(), Tokens::new("home", refresh_token())).unwrap()
    }
}

pub(crate) fn static_token() -> Credentials {
    Credentials::Access { access_token: CANARY.into() }
}

pub(crate) fn refresh_token() -> Credentials {
    Credentials::Refresh { refresh_token: REFRESH.into(), app_key: "key".to_owned() }
}

async fn connection(mut stream: TcpStream, script: Script, log: Arc<Mutex<Vec<Asked>>>, cut: bool) {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if read.first() == Some(&0x16) {
                // A TLS client on our plain port.
                drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
                return;
            }
            if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            let mut piece = [0; 16384];
            match stream.read(&mut piece).await {
                Ok(n) if n > 0 => read.extend_from_slice(&piece[..n]),
                _ => return,
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let mut lines = text.lines();
        let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
        let headers: HashMap<String, String> =
            lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
        let length: usize = headers.get("content-length").map_or(0, |l| l.parse().unwrap());
        assert!(!headers.contains_key("transfer-encoding"), "a body must announce its length");
        if cut {
            return;
        }
        while read.len() < head + length {
            let mut piece = [0; 16384];
            match stream.read(&mut piece).await {
                Ok(n) if n > 0 => read.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        let asked = Asked { path, headers, body: read[head..head + length].to_vec() };
        read.drain(..head + length);
        log.lock().unwrap().push(asked.clone());
        match script(&asked) {
            Answer::Http(status, headers, body) => {
                let mut out = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
                headers.iter().for_each(|(n, v)| out.push_str(&format!("{n}: {v}\r\n")));
                out.push_str("\r\n");
                out.push_str(&body);
                if stream.write_all(out.as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Raw(bytes) => {
                drop(stream.write_all(&bytes).await);
                return;
            }
            Answer::Stall(bytes) => {
                drop(stream.write_all(&bytes).await);
                std::future::pending::<()>().await;
            }
            Answer::Hang => std::future::pending().await,
        }
    }
}
