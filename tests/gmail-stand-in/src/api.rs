//! What a test sees of the stand-in: start it, fill it, turn its knobs, break it, and look at what it holds.

mod mailboxes;
mod rest;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::{Clock, delta};
use crate::faults::{Fault, Hits, On};
use crate::knobs::Knobs;
use crate::message::Place;
use crate::oauth::{self, TokenRequest, TokenTrouble};
use crate::options::{Mail, Options, Stored};
use crate::poison::{Harm, Reach};
use crate::refusal::Refusal;
use crate::server::{self, Shared};
use crate::store::New;
use crate::tokens::{CLIENT_ID, CLIENT_SECRET};
use crate::transcript::Transcript;

/// A running stand-in. It ends, with all its connections, when it is dropped.
pub struct Gmail {
    shared: Arc<Shared>,
    port: u16,
    token_port: u16,
    api_port: u16,
    refresh_token: String,
    dir: tempfile::TempDir,
}

impl std::fmt::Debug for Gmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gmail stand-in on port {}", self.port)
    }
}

impl Gmail {
    /// Starts it on ports of 127.0.0.1 that the system chooses.
    pub fn start(options: Options) -> Gmail {
        let dir = tempfile::tempdir().unwrap();
        let tls = server::certify(&dir.path().join("ca.pem"), &options);
        let account = options.account.clone();
        let tls = options.tls.then_some(tls);
        let shared = Arc::new(Shared::new(options, tls));
        let now = shared.clock.now();
        let refresh_token = shared.tokens.lock().unwrap().grant(&account, now);
        let port = listen(&shared, server::serve);
        let token_port = listen(&shared, oauth::serve);
        let api_port = listen(&shared, crate::rest::serve);
        Gmail {
            shared,
            port,
            token_port,
            api_port,
            refresh_token,
            dir,
        }
    }

    /// Where IMAP is spoken, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file of the authority that vouches for `127.0.0.1`, `localhost` and `imap.gmail.com`.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The token endpoint (docs/gmail.md 7.1).
    pub fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.token_port)
    }

    /// Another address of the same HTTP server: `/auth` shows the consent page, `/devicecode` gives a device its code,
    /// and `/device?user_code=...&answer=allow` is the page to enter it (docs/gmail.md 7.1, 8.2).
    pub fn web(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.token_port)
    }

    /// A client_secret.json of a desktop client, as Google gives it, that leads here (docs/gmail.md 7.5).
    pub fn client_secret_json(&self) -> serde_json::Value {
        serde_json::json!({"installed": {
            "client_id": CLIENT_ID,
            "project_id": "stand-in",
            "auth_uri": self.web("/auth"),
            "token_uri": self.token_url(),
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_secret": CLIENT_SECRET,
            "redirect_uris": ["http://localhost"],
        }})
    }

    /// The account.
    pub fn account(&self) -> &str {
        &self.shared.options.account
    }

    /// Its app password, or password.
    pub fn password(&self) -> &str {
        &self.shared.options.password
    }

    /// The virtual clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Turns knobs. They hold from the next look on.
    pub fn knobs(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut self.shared.knobs.lock().unwrap());
    }

    // ---- tokens ----

    /// An access token for the account, good for so long.
    pub fn issue_token(&self, life: Duration) -> String {
        let scope = self.shared.knobs.lock().unwrap().scope.clone();
        self.issue_token_for(self.account(), &scope, life)
    }

    /// An access token for this account with this scope.
    pub fn issue_token_for(&self, account: &str, scope: &str, life: Duration) -> String {
        let now = self.shared.clock.now();
        let mut tokens = self.shared.tokens.lock().unwrap();
        tokens.issue(account, scope, now, life)
    }

    /// The refresh token that the account gave at the start.
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// One more refresh token of the account: the 101st kills the first (docs/gmail.md 7.4).
    pub fn grant(&self) -> String {
        let now = self.shared.clock.now();
        let mut tokens = self.shared.tokens.lock().unwrap();
        tokens.grant(self.account(), now)
    }

    /// The account takes a refresh or access token back. Sessions that are open stay so.
    pub fn revoke(&self, token: &str) {
        self.shared.tokens.lock().unwrap().revoke(token);
    }

    /// A `token.json` as google-auth writes it (docs/gmail.md 7.5), with this access token and expiry.
    pub fn token_json(&self, access_token: &str, life: Duration) -> String {
        let expiry = self.shared.clock.now() + delta(life);
        let knobs = self.shared.knobs.lock().unwrap();
        let mut file = serde_json::json!({
            "token": access_token,
            "refresh_token": self.refresh_token,
            "token_uri": self.token_url(),
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scopes": [knobs.scope],
            "universe_domain": "googleapis.com",
            "account": "",
            "expiry": expiry.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        });
        if knobs.public_client {
            file["scopes"] = serde_json::json!([knobs.scope, "offline_access"]);
            file.as_object_mut()
                .map(|file| file.remove("client_secret"));
        }
        file.to_string()
    }

    /// Requests to the token endpoint so far.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.shared.token_requests.lock().unwrap().clone()
    }

    /// What the next so many requests to the token endpoint meet; queued behind what was said before.
    pub fn token_trouble(&self, trouble: TokenTrouble, times: usize) {
        self.shared.trouble(trouble, times);
    }

    // ---- faults ----

    /// What the next so many logins meet; queued behind what was said before.
    pub fn refuse_login(&self, refusal: Refusal, times: usize) {
        self.shared.refuse(refusal, times);
    }

    /// Breaks something at a chosen command.
    pub fn fault(&self, on: On, fault: Fault) -> Hits {
        self.shared.faults.add(on, fault)
    }

    /// A message that cannot be fetched from now on, each time.
    pub fn poison(&self, id: u64, reach: Reach, harm: Harm) {
        self.shared.poisons.set(id, Some((reach, harm)));
    }

    /// It can be fetched again.
    pub fn cure(&self, id: u64) {
        self.shared.poisons.set(id, None);
    }

    /// RFC822.SIZE of a message is told as this.
    pub fn lie_about_size(&self, id: u64, size: u64) {
        self.shared.poisons.lie(id, size);
    }

    /// Cuts the connection that is about to say the `n`th line from now (from 1), in its place.
    pub fn cut_at_line(&self, n: usize) {
        self.shared.cut_at_line(n);
    }

    /// Cuts all connections, without a word.
    pub fn cut_connections(&self) {
        self.shared.cut_connections();
    }

    /// Forgets all faults, refusals and troubles that have not happened.
    pub fn clear_faults(&self) {
        self.shared.no_more_trouble();
    }

    /// Blocks the account for bandwidth (docs/gmail.md 2.3), for so long by the virtual clock.
    pub fn block(&self, time: Duration) {
        let until = self.shared.clock.now() + delta(time);
        self.shared.upload.lock().unwrap().block(until);
    }

    // ---- what was said ----

    /// Everything that was said so far.
    pub fn transcript(&self) -> Transcript {
        self.shared.recorder.copy()
    }

    /// Round trips so far, of all sessions together. See [`Transcript::flights`].
    pub fn flights(&self) -> usize {
        self.transcript().flights()
    }

    /// How many lines were said so far, for [`Transcript::after`].
    pub fn lines(&self) -> usize {
        self.shared.recorder.len()
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }

    /// Those of them that are signed in.
    pub fn signed_in(&self) -> usize {
        self.shared.signed_in()
    }

    /// The most that were signed in at a time so far.
    pub fn most_signed_in(&self) -> usize {
        self.shared.most_signed_in()
    }

    /// Bytes of messages that APPEND has taken.
    pub fn uploaded(&self) -> u64 {
        self.shared.upload.lock().unwrap().bytes
    }

    // ---- the mail ----

    /// Puts a message into the store as if it had arrived, with no de-duplication. Gives its id.
    pub fn add(&self, mail: Mail) -> u64 {
        let now = self.shared.clock.now();
        let mut store = self.shared.store.lock().unwrap();
        let index = store.create(&mail.mailbox);
        if let Some(uid) = mail.uid {
            let next = &mut store.mailboxes[index].uid_next;
            assert!(uid >= *next, "UID {uid} is below the UIDNEXT {next}");
            *next = uid;
        }
        for label in mail.labels.iter().filter(|label| !label.starts_with('\\')) {
            store.create(label);
        }
        let (place, label) = store.target(index);
        let new = New {
            bytes: mail.bytes.into(),
            flags: mail.flags,
            labels: mail.labels.into_iter().chain(label).collect(),
            place,
            threaded: true,
            internal_date: mail.date.unwrap_or_else(|| now.fixed_offset()),
            indexed_at: now,
        };
        store.insert(new, 0)
    }

    /// Every message, each once, by id: for Gmail that is by internal date.
    pub fn messages(&self) -> Vec<Stored> {
        let store = self.shared.store.lock().unwrap();
        store
            .messages
            .values()
            .map(|m| Stored::from(&**m))
            .collect()
    }

    /// The message with this id.
    pub fn message(&self, id: u64) -> Option<Stored> {
        let store = self.shared.store.lock().unwrap();
        store.messages.get(&id).map(|m| Stored::from(&**m))
    }

    /// Deletes a message for good. False if there is none.
    pub fn delete(&self, id: u64) -> bool {
        self.shared.store.lock().unwrap().delete(id, 0)
    }

    /// The person moves a message to Trash.
    pub fn trash(&self, id: u64) -> bool {
        self.put(id, Place::Trash)
    }

    /// The person calls a message spam.
    pub fn spam(&self, id: u64) -> bool {
        self.put(id, Place::Spam)
    }

    /// The person takes a message back out of Trash or Spam; its labels were kept, but not INBOX.
    pub fn restore(&self, id: u64) -> bool {
        self.put(id, Place::Live)
    }

    fn put(&self, id: u64, place: Place) -> bool {
        self.shared.store.lock().unwrap().put(id, 0, place)
    }

    /// Sets the flags of a message.
    pub fn set_flags(&self, id: u64, flags: &[&str]) -> bool {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        self.shared.store.lock().unwrap().set_flags(id, 0, flags)
    }

    /// Sets the labels of a message: without `\Inbox` it is archived.
    pub fn set_labels(&self, id: u64, labels: &[&str]) -> bool {
        let labels = labels.iter().map(|label| label.to_string()).collect();
        self.shared.store.lock().unwrap().set_labels(id, 0, labels)
    }
}

impl Drop for Gmail {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.cut_connections();
        // Wakes those who wait for connections.
        for port in [self.port, self.token_port, self.api_port] {
            let _ = std::net::TcpStream::connect(("127.0.0.1", port));
        }
    }
}

fn listen(shared: &Arc<Shared>, serve: fn(&Arc<Shared>, &TcpListener)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::clone(shared);
    std::thread::spawn(move || serve(&shared, &listener));
    port
}
