//! What a browser, a monitor and Prometheus see of the routes of a run (`run --http`): a page, `/metrics`, `/healthz` and
//! `/status.json`. It only reads, and shows no subject, no sender and no Message-ID. Not for what is healthy or how a report is
//! made (`status`), nor for how HTTP is spoken (`http`).
//!
//! Each file imports only what stands above it.
//! ```text
//! place      where it is served, and for which hosts
//! readings   what the ledgers last said
//! standing   how a route stands, and what it is to a person
//! chart      mail per day
//! html       the page
//! metrics    the same for Prometheus
//! ```

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{info, warn};
use oauth2::url::form_urlencoded;

use crate::error::{Error, Result, shown_within};
use crate::http::listen::{self, Request, Response};

mod chart;
mod html;
mod metrics;
mod place;
mod readings;
mod standing;

pub use place::{Place, place};

use html::Html;
use readings::Readings;
use standing::{Standing, standings};

/// How long we wait for our own connection, with which the listener is woken.
const WAKE: Duration = Duration::from_secs(1);
/// The most characters of a name of a route.
const NAME_MAX: usize = 254;
const PLAIN: &str = "text/plain; charset=utf-8";

/// A route of this process.
#[derive(Clone, Debug)]
pub struct Route {
    /// As people know it.
    pub name: String,
    /// What is looked at, or why there is nothing to look at: its configuration is wrong.
    pub ledger: Result<Watched>,
}

/// Where what is shown of a route comes from.
#[derive(Clone, Debug)]
pub struct Watched {
    pub state_file: PathBuf,
    /// Where the run goes on in this process: gone when its ledger is closed.
    pub open: Option<Weak<()>>,
    /// `upload_limit_per_day`
    pub upload_limit: Option<u64>,
    /// The target's: it may say when a person last signed in.
    pub token_file: Option<PathBuf>,
    /// What a command must be given to mean this ledger: ` --config elsewhere.json`.
    pub files: String,
}

/// The page while it is served: until this is dropped.
pub struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// Serves the page at this place. `routes` is asked with every look, and must not wait for anything.
///
/// # Errors
/// When the place cannot be listened at.
pub fn serve(
    place: &Place,
    routes: impl Fn() -> Vec<Route> + Send + Sync + 'static,
) -> Result<Server> {
    let (listener, address) = place.listen()?;
    let site = Site {
        place: place.clone(),
        readings: Readings::new(move || distinct(routes())),
    };
    info!("the page is at {}", place.url(address));
    if !address.ip().is_loopback() {
        warn!(
            "whoever reaches {address} can read the page, without a password: it names the accounts, and says what arrives and when; 127.0.0.1 is for this machine alone"
        );
    }
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let listening = move || listen::serve(&listener, &ended, move |stream| site.answer(&stream));
    let listener = thread::Builder::new()
        .spawn(listening)
        .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
    Ok(Server {
        address,
        over,
        listener: Some(listener),
    })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect_timeout(&place::reachable(self.address), WAKE);
        // Where nobody can be reached the listener ends with the process.
        if woken.is_ok()
            && let Some(listener) = self.listener.take()
        {
            let _ = listener.join();
        }
    }
}

/// With names that can be shown, and no two the same: a route is known by its name in each address and metric.
fn distinct(mut routes: Vec<Route>) -> Vec<Route> {
    let mut taken = std::collections::HashSet::new();
    for route in &mut routes {
        let name = shown_within(route.name.as_bytes(), NAME_MAX);
        let mut unlike = name.clone();
        let mut others = 1;
        while !taken.insert(unlike.clone()) {
            others += 1;
            unlike = format!("{name} ({others})");
        }
        route.name = unlike;
    }
    routes
}

struct Site {
    place: Place,
    readings: Readings,
}

impl Site {
    fn answer(&self, stream: &TcpStream) {
        let request = match Request::read(stream) {
            Ok(request) => request,
            Err(Some(status)) => return refuse(stream, status, "", true),
            Err(None) => return,
        };
        let head = request.method == "HEAD";
        let arrived = stream.local_addr().map(|a| a.ip());
        // Another name may lead here by now (DNS rebinding): its web pages could then read what we say.
        if !arrived.is_ok_and(|at| self.place.is_named_by(&request.host, at)) {
            return refuse(stream, "421 Misdirected Request", "", !head);
        }
        if !head && request.method != "GET" {
            let allow = "Allow: GET, HEAD\r\n";
            return refuse(stream, "405 Method Not Allowed", allow, true);
        }
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let say = |status, content_type, headers: &str, body: &str| {
            let response = Response {
                status,
                content_type,
                headers,
                body,
            };
            response.send(stream, !head);
        };
        match path {
            "/" | "/route" => {
                let Html { status, text } = self.html(path, query);
                let refresh = if asked(query, "refresh").as_deref() == Some("off") {
                    ""
                } else {
                    html::REFRESH
                };
                let headers = format!("{}{refresh}", html::POLICY.as_str());
                say(status, "text/html; charset=utf-8", &headers, &text);
            }
            "/metrics" => {
                let form = metrics::Form::wanted(&request.accept);
                let text = metrics::metrics(&standings(&self.readings), form);
                say("200 OK", form.content_type(), "Vary: Accept\r\n", &text);
            }
            "/healthz" => {
                let (status, line) = healthz(&standings(&self.readings));
                say(status, PLAIN, "", &line);
            }
            "/status.json" => {
                let json = standing::json(&standings(&self.readings));
                say("200 OK", "application/json", "", &json);
            }
            _ => refuse(stream, "404 Not Found", "", !head),
        }
    }

    fn html(&self, path: &str, query: &str) -> Html {
        let all = standings(&self.readings);
        let still = asked(query, "refresh").as_deref() == Some("off");
        if path == "/" {
            return Html::of_all(&all, still);
        }
        let name = asked(query, "name").unwrap_or_default();
        match all.iter().find(|one| one.name == name) {
            Some(one) => Html::of_one(one, still),
            None => Html::of_none(&name),
        }
    }
}

/// The first value of this name in a query.
fn asked(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
}

/// All is well, or which route is not.
fn healthz(all: &[Standing]) -> (&'static str, String) {
    let mut ill = all
        .iter()
        .filter_map(|one| Some((&one.name, one.unhealthy()?)));
    match ill.next() {
        None if all.is_empty() => ("503 Service Unavailable", "there is no route\n".into()),
        None if all.len() == 1 => ("200 OK", "healthy\n".into()),
        None => ("200 OK", format!("all {} routes are healthy\n", all.len())),
        Some((name, why)) => {
            let more = match ill.count() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            let line = format!("{name}: {why}{more}\n");
            ("503 Service Unavailable", line)
        }
    }
}

fn refuse(stream: &TcpStream, status: &str, headers: &str, with_body: bool) {
    let why = match status.get(..3) {
        Some("421") => {
            "this page is not served under that name: use the address that `run --http` was given, or 127.0.0.1 on that machine\n"
        }
        Some("404") => "there is nothing here; there are /, /metrics, /healthz and /status.json\n",
        Some("405") => "only GET and HEAD are answered\n",
        _ => "this is not a request that can be read\n",
    };
    let response = Response {
        status,
        content_type: PLAIN,
        headers,
        body: why,
    };
    response.send(stream, with_body);
}
