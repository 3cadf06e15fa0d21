//! What all connections of one stand-in share, and the thread that accepts them.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::clock::{Clock, delta};
use crate::consent::Consents;
use crate::faults::{Fault, Faults};
use crate::knobs::Knobs;
use crate::oauth::{TokenRequest, TokenTrouble};
use crate::poison::Poisons;
use crate::refusal::Refusal;
use crate::rest::{ApiFault, Held, Log, Quota, Uploads};
use crate::session::Session;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::transcript::Recorder;
use crate::{Kind, Options};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) clock: Clock,
    pub(crate) knobs: Mutex<Knobs>,
    pub(crate) store: Mutex<Store>,
    pub(crate) tokens: Mutex<Tokens>,
    pub(crate) consents: Mutex<Consents>,
    pub(crate) faults: Faults<Fault>,
    pub(crate) api_faults: Faults<ApiFault>,
    pub(crate) quota: Mutex<Quota>,
    pub(crate) uploads: Mutex<Uploads>,
    pub(crate) held: Mutex<Held>,
    pub(crate) api_log: Mutex<Log>,
    pub(crate) poisons: Poisons,
    pub(crate) recorder: Recorder,
    pub(crate) upload: Mutex<Upload>,
    pub(crate) token_requests: Mutex<Vec<TokenRequest>>,
    /// The stand-in is being dropped.
    pub(crate) over: AtomicBool,
    refusals: Mutex<VecDeque<(Refusal, usize)>>,
    token_troubles: Mutex<VecDeque<(TokenTrouble, usize)>>,
    signed_in: Mutex<Vec<u32>>,
    most_signed_in: AtomicUsize,
    /// Held by an APPEND where there is one at a time.
    pub(crate) append_turn: Mutex<()>,
    connections: Mutex<HashMap<u32, TcpStream>>,
    api_connections: Mutex<HashMap<u32, TcpStream>>,
    last_session: AtomicU32,
    /// How many more lines are said until the connection that would say the next one is cut.
    lines_left: Mutex<Option<usize>>,
}

/// The account's use of bandwidth (docs/gmail.md 6).
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) bytes: u64,
    since: u64,
    blocked_until: Option<DateTime<Utc>>,
}

impl Upload {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Whether the budget is used up now; when the block ends, it begins anew.
    pub(crate) fn blocked(
        &mut self,
        budget: Option<u64>,
        now: DateTime<Utc>,
        time: Duration,
    ) -> bool {
        if let Some(until) = self.blocked_until {
            if now < until {
                return true;
            }
            self.blocked_until = None;
            self.since = self.bytes;
        }
        let spent = budget.is_some_and(|budget| self.bytes - self.since >= budget);
        if spent {
            self.blocked_until = Some(now + delta(time));
        }
        spent
    }

    pub(crate) fn block(&mut self, until: DateTime<Utc>) {
        self.blocked_until = Some(until);
    }
}

impl Shared {
    pub(crate) fn new(options: Options, tls: Option<Arc<ServerConfig>>) -> Shared {
        let store = match &options.kind {
            Kind::Gmail => Store::gmail(options.locale),
            Kind::Plain { .. } => Store::plain(),
        };
        Shared {
            tls,
            clock: Clock::starting_at(options.now.unwrap_or_else(Utc::now)),
            knobs: Mutex::new(options.knobs.clone()),
            store: Mutex::new(store),
            tokens: Mutex::default(),
            consents: Mutex::default(),
            faults: Faults::default(),
            api_faults: Faults::default(),
            quota: Mutex::default(),
            uploads: Mutex::default(),
            held: Mutex::default(),
            api_log: Mutex::default(),
            poisons: Poisons::default(),
            recorder: Recorder::default(),
            upload: Mutex::default(),
            token_requests: Mutex::default(),
            over: AtomicBool::new(false),
            refusals: Mutex::default(),
            token_troubles: Mutex::default(),
            signed_in: Mutex::default(),
            most_signed_in: AtomicUsize::new(0),
            append_turn: Mutex::default(),
            connections: Mutex::default(),
            api_connections: Mutex::default(),
            last_session: AtomicU32::new(0),
            lines_left: Mutex::new(None),
            options,
        }
    }

    pub(crate) fn gmail(&self) -> bool {
        matches!(self.options.kind, Kind::Gmail)
    }

    pub(crate) fn refuse(&self, refusal: Refusal, times: usize) {
        self.refusals.lock().unwrap().push_back((refusal, times));
    }

    /// What the next login meets.
    pub(crate) fn next_refusal(&self) -> Option<Refusal> {
        next(&mut self.refusals.lock().unwrap())
    }

    pub(crate) fn trouble(&self, trouble: TokenTrouble, times: usize) {
        let mut troubles = self.token_troubles.lock().unwrap();
        troubles.push_back((trouble, times));
    }

    pub(crate) fn next_token_trouble(&self) -> Option<TokenTrouble> {
        next(&mut self.token_troubles.lock().unwrap())
    }

    pub(crate) fn no_more_trouble(&self) {
        self.refusals.lock().unwrap().clear();
        self.token_troubles.lock().unwrap().clear();
        self.faults.clear();
        self.api_faults.clear();
        *self.lines_left.lock().unwrap() = None;
    }

    /// Takes a place among the sessions signed in; false if there is none.
    pub(crate) fn sign_in(&self, session: u32) -> bool {
        let limit = self.knobs.lock().unwrap().max_connections;
        let mut signed_in = self.signed_in.lock().unwrap();
        let room = signed_in.len() < limit;
        if room {
            signed_in.push(session);
            self.most_signed_in
                .fetch_max(signed_in.len(), Ordering::SeqCst);
        }
        room
    }

    pub(crate) fn signed_in(&self) -> usize {
        self.signed_in.lock().unwrap().len()
    }

    pub(crate) fn most_signed_in(&self) -> usize {
        self.most_signed_in.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    pub(crate) fn cut_at_line(&self, line: usize) {
        *self.lines_left.lock().unwrap() = Some(line);
    }

    /// Whether the line that is about to be said is cut instead.
    pub(crate) fn line_is_cut(&self) -> bool {
        let mut left = self.lines_left.lock().unwrap();
        match left.as_mut() {
            None => false,
            Some(left) if *left > 1 => {
                *left -= 1;
                false
            }
            Some(_) => {
                *left = None;
                true
            }
        }
    }

    /// Cuts every connection there is, without a word.
    pub(crate) fn cut_connections(&self) {
        for all in [&self.connections, &self.api_connections] {
            for tcp in all.lock().unwrap().values() {
                let _ = tcp.shutdown(Shutdown::Both);
            }
        }
    }

    /// Takes note of a connection and gives it its number. `api`: it is not for IMAP.
    pub(crate) fn arrived(&self, tcp: &TcpStream, api: bool) -> Option<u32> {
        let handle = tcp.try_clone().ok()?;
        let session = self.last_session.fetch_add(1, Ordering::SeqCst) + 1;
        let all = if api {
            &self.api_connections
        } else {
            &self.connections
        };
        all.lock().unwrap().insert(session, handle);
        Some(session)
    }

    fn left(&self, session: u32) {
        self.signed_in.lock().unwrap().retain(|&s| s != session);
        self.connections.lock().unwrap().remove(&session);
        self.api_connections.lock().unwrap().remove(&session);
    }
}

/// The first of a queue of things that happen so many times each.
fn next<T: Clone>(queue: &mut VecDeque<(T, usize)>) -> Option<T> {
    let (first, times) = queue.front_mut()?;
    let first = first.clone();
    *times = times.saturating_sub(1);
    if *times == 0 {
        queue.pop_front();
    }
    Some(first)
}

/// Accepts connections, each on a thread of its own, until the stand-in is dropped.
pub(crate) fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    for tcp in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(tcp) = tcp else { continue };
        let Some(session) = shared.arrived(&tcp, false) else {
            continue;
        };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // Also when a session panics, its place is given back.
            let _leaving = Leaving::new(&shared, session);
            Session::run(Arc::clone(&shared), session, tcp);
        });
    }
}

pub(crate) struct Leaving<'a>(&'a Shared, u32);

impl<'a> Leaving<'a> {
    pub(crate) fn new(shared: &'a Shared, session: u32) -> Leaving<'a> {
        Leaving(shared, session)
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.left(self.1);
    }
}

/// A certificate authority of its own, in this file, and a server that it vouches for.
pub(crate) fn certify(ca_file: &Path, options: &Options) -> Arc<ServerConfig> {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(DnType::CommonName, "Gmail stand-in CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    std::fs::write(ca_file, pem).unwrap();
    let mut leaf = CertificateParams::new(options.names.clone()).unwrap();
    if let Some(day) = options.certificate_ends {
        let (month, day_of_month) = (day.month() as u8, day.day() as u8);
        leaf.not_after = rcgen::date_time_ymd(day.year(), month, day_of_month);
    }
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let cert = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}
