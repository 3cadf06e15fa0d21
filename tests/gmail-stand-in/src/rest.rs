//! The part of Gmail's API that brings messages in (docs/gmail-import.md): HTTPS on 127.0.0.1 over the store that IMAP
//! shows. Here: connections, which request is which, who may ask, and what goes wrong.
//!
//! Batches, reading and changing messages, and all the rest of the API are not there: 404.

mod faults;
mod held;
mod http;
mod import;
mod knobs;
mod labels;
mod log;
mod quota;
mod refusals;
mod resumable;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

pub use faults::ApiFault;
use held::Waiting;
pub(crate) use held::{Held, classify, commit};
use http::{Answer, Connection, Head};
use import::Wish;
pub use knobs::{ApiFilter, ApiKnobs};
pub use log::{ApiImport, ApiRequest};
pub(crate) use log::{Log, sha256};
pub(crate) use quota::Quota;
pub use refusals::ApiRefusal;
use resumable::Put;
pub(crate) use resumable::Uploads;

use crate::server::{Leaving, Shared};
use crate::tokens::SCOPE;
use crate::wire::{Gone, Step, TICK};

const USERS: &str = "/gmail/v1/users/";
/// With this one import and insert can be used, and nothing else.
const INSERT_SCOPE: &str = "https://www.googleapis.com/auth/gmail.insert";
const LABELS_SCOPE: &str = "https://www.googleapis.com/auth/gmail.labels";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Import,
    Insert,
    ListLabels,
    CreateLabel,
}

/// Which request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// With all there is to it.
    Whole(Method),
    /// The beginning of a resumable upload.
    Start(Method),
    /// A part of one.
    Upload(Method, String),
    /// How far one came.
    Status(String),
}

impl Method {
    /// What faults call it.
    fn name(self) -> &'static str {
        match self {
            Method::Import => "IMPORT",
            Method::Insert => "INSERT",
            Method::ListLabels => "LABELS.LIST",
            Method::CreateLabel => "LABELS.CREATE",
        }
    }

    /// docs/gmail-import.md 5.
    fn units(self) -> u32 {
        match self {
            Method::Import | Method::Insert => 25,
            Method::ListLabels => 1,
            Method::CreateLabel => 5,
        }
    }

    fn scopes(self) -> [&'static str; 2] {
        match self {
            Method::Import | Method::Insert => [SCOPE, INSERT_SCOPE],
            Method::ListLabels | Method::CreateLabel => [SCOPE, LABELS_SCOPE],
        }
    }
}

impl Route {
    fn of(head: &Head, account: &str) -> Option<Route> {
        let path = head.path.as_str();
        let upload = ["/upload", "/resumable/upload"]
            .iter()
            .find_map(|prefix| path.strip_prefix(prefix));
        let rest = upload.unwrap_or(path).strip_prefix(USERS)?;
        let (user, what) = rest.split_once('/')?;
        if user != "me" && !user.replace("%40", "@").eq_ignore_ascii_case(account) {
            return None;
        }
        let method = match (head.method.as_str(), what) {
            ("POST" | "PUT", "messages/import") => Method::Import,
            ("POST" | "PUT", "messages") => Method::Insert,
            ("GET", "labels") => Method::ListLabels,
            ("POST", "labels") => Method::CreateLabel,
            _ => return None,
        };
        let resumable = upload.is_some() && head.query("uploadType") == Some("resumable");
        match (head.method.as_str(), head.query("upload_id")) {
            ("PUT", Some(id)) if resumable => {
                let range = head.header("content-range").unwrap_or_default();
                if range.starts_with("bytes */") {
                    Some(Route::Status(id.into()))
                } else {
                    Some(Route::Upload(method, id.into()))
                }
            }
            ("PUT", _) => None,
            _ if resumable => Some(Route::Start(method)),
            _ => Some(Route::Whole(method)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Route::Whole(method) => method.name(),
            Route::Start(_) => "START",
            Route::Upload(..) => "UPLOAD",
            Route::Status(_) => "STATUS",
        }
    }

    /// Does a message to import end with this request?
    fn ends_import(&self, head: &Head) -> bool {
        match self {
            Route::Whole(Method::Import) => true,
            Route::Upload(Method::Import, _) => {
                let range = head.header("content-range").unwrap_or_default();
                let end = range
                    .split_once('-')
                    .and_then(|(_, end)| end.split_once('/'));
                let number = |text: &str| text.parse::<u64>().ok();
                end.is_some_and(|(last, len)| {
                    number(last).is_some() && number(last).map(|last| last + 1) == number(len)
                })
            }
            _ => false,
        }
    }

    /// The name of what brings a message.
    fn brings(&self) -> Option<&'static str> {
        match self {
            Route::Whole(method @ (Method::Import | Method::Insert)) | Route::Upload(method, _) => {
                Some(method.name())
            }
            _ => None,
        }
    }
}

/// Accepts connections, each on a thread of its own, until the stand-in is dropped.
pub(crate) fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    for tcp in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(tcp) = tcp else { continue };
        let Some(session) = shared.arrived(&tcp, true) else {
            continue;
        };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _leaving = Leaving::new(&shared, session);
            let Ok(mut connection) = Connection::new(Arc::clone(&shared), session, tcp) else {
                return;
            };
            while request(&shared, session, &mut connection).is_ok() {}
            connection.cut();
        });
    }
}

/// Hears one request and answers it.
fn request(shared: &Arc<Shared>, session: u32, connection: &mut Connection) -> Step<()> {
    let head = connection.head()?;
    let route = Route::of(&head, &shared.options.account);
    let name = route.as_ref().map_or("", Route::name);
    let number = shared
        .api_log
        .lock()
        .unwrap()
        .begin(session, name, &head.line);
    let mut fault = shared.api_faults.at_line(session, name, &head.line);
    match fault {
        Some(ApiFault::CutBefore) => return Err(Gone),
        Some(ApiFault::CutInBody(bytes)) => {
            let (part, _) = connection.body(bytes.min(head.len));
            shared.api_log.lock().unwrap().requests[number].bytes = part.len();
            keep_part(shared, route.as_ref(), &head, &part);
            return Err(Gone);
        }
        _ => {}
    }
    let (body, whole) = connection.body(head.len);
    let brought = whole.is_ok() && route.as_ref().is_some_and(|route| route.ends_import(&head));
    {
        let request = &mut shared.api_log.lock().unwrap().requests[number];
        (request.bytes, request.brought) = (body.len(), brought);
    }
    if whole.is_err() {
        keep_part(shared, route.as_ref(), &head, &body);
        return Err(Gone);
    }
    if fault.is_none()
        && let Some(brings) = route.as_ref().and_then(Route::brings)
    {
        let faults = &shared.api_faults;
        fault = faults.at_message(session, brings, &head.line, &body);
    }
    let route = route.ok_or(ApiRefusal::NoSuchPage);
    if let Some(ApiFault::CommitLate(time)) = fault {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            std::thread::sleep(time);
            let _ = route.and_then(|route| carry_out(&shared, &route, &head, body));
        });
        return Err(Gone);
    }
    if let Some(ApiFault::CommitOnCommand) = fault {
        if let Ok(route) = route {
            shared.held.lock().unwrap().request(route, head, body);
        }
        return Err(Gone);
    }
    let say = |connection: &mut Connection, answer: &Answer| {
        // Before it is said, so that whoever hears it finds it in the log.
        shared.api_log.lock().unwrap().requests[number].status = Some(answer.status);
        connection.answer(answer, false)
    };
    let mut answer = Answer::empty(500, Vec::new());
    if fault.as_ref().is_none_or(ApiFault::has_effect) {
        let done = route.and_then(|route| carry_out(shared, &route, &head, body));
        answer = done.unwrap_or_else(|refusal| refusal.answer());
    }
    match fault {
        Some(ApiFault::Refuse(refusal) | ApiFault::RefuseAfter(refusal)) => {
            say(connection, &refusal.answer())
        }
        Some(ApiFault::Answer { status, body, .. }) => {
            let mut answer = Answer::empty(status, Vec::new());
            answer.body = body;
            say(connection, &answer)
        }
        Some(ApiFault::CutInAnswer) => connection.answer(&answer, true),
        Some(ApiFault::CutInRefusal(refusal)) => connection.answer(&refusal.answer(), true),
        Some(ApiFault::Stall { .. }) => connection.rest(Duration::MAX),
        Some(ApiFault::Delay(time)) => {
            connection.rest(time)?;
            say(connection, &answer)
        }
        Some(ApiFault::AnswerOnCommand) => {
            let waiting = Waiting::new(shared);
            while !waiting.is_over() {
                connection.rest(TICK)?;
            }
            drop(waiting);
            say(connection, &answer)
        }
        Some(_) => Err(Gone),
        None => say(connection, &answer),
    }
}

/// A resumable session keeps what came of a part.
fn keep_part(shared: &Shared, route: Option<&Route>, head: &Head, part: &[u8]) {
    if let Some(Route::Upload(_, id)) = route
        && part.len() < head.len
    {
        let _ = shared.uploads.lock().unwrap().put(id, head, part);
    }
}

/// Does what is asked, if the account and the API allow it.
fn carry_out(
    shared: &Arc<Shared>,
    route: &Route,
    head: &Head,
    body: Vec<u8>,
) -> Result<Answer, ApiRefusal> {
    let knobs = shared.knobs.lock().unwrap().api.clone();
    let (method, units) = match route {
        Route::Whole(method) | Route::Start(method) => (*method, method.units()),
        Route::Upload(method, _) => (*method, 0),
        Route::Status(_) => (Method::Import, 0),
    };
    let now = shared.clock.now();
    authorised(shared, method, head)?;
    if !knobs.enabled {
        return Err(ApiRefusal::NotEnabled);
    }
    if !knobs.domain_allows {
        return Err(ApiRefusal::DomainPolicy);
    }
    if !knobs.mail_service {
        return Err(ApiRefusal::MailServiceOff);
    }
    shared.quota.lock().unwrap().enter(units, now, &knobs)?;
    let _leaving = LeavingQuota(shared);
    match route {
        Route::Whole(Method::ListLabels) => Ok(labels::list(&shared.store.lock().unwrap())),
        Route::Whole(Method::CreateLabel) => {
            labels::create(&mut shared.store.lock().unwrap(), &body)
        }
        Route::Whole(method) => {
            let json = head.query("uploadType").is_none();
            if json && body.len() > knobs.json_limit || body.len() as u64 > knobs.upload_limit {
                return Err(ApiRefusal::TooLarge);
            }
            let (metadata, message) = import::parts(head, body)?;
            let wish = Wish::of(head, *method == Method::Import, &metadata);
            store(shared, &wish, message).map(|reply| import::done(&reply))
        }
        Route::Start(method) => start(shared, *method, head, &body, knobs.upload_limit),
        Route::Upload(_, id) | Route::Status(id) => {
            let mut uploads = shared.uploads.lock().unwrap();
            if knobs.forgets_sessions {
                uploads.forget();
            }
            let (wish, message) = match uploads.put(id, head, &body)? {
                Put::Answer(answer) => return Ok(answer),
                Put::Whole(wish, message) => (wish, message),
            };
            match store(shared, &wish, message) {
                Ok(reply) => {
                    uploads.done(id, &reply);
                    Ok(import::done(&reply))
                }
                Err(refusal) => {
                    uploads.over(id);
                    Err(refusal)
                }
            }
        }
    }
}

fn start(
    shared: &Shared,
    method: Method,
    head: &Head,
    body: &[u8],
    limit: u64,
) -> Result<Answer, ApiRefusal> {
    let len = head.header("x-upload-content-length");
    let len: usize = len
        .and_then(|len| len.parse().ok())
        .ok_or(ApiRefusal::BadRequest)?;
    if len as u64 > limit {
        return Err(ApiRefusal::TooLarge);
    }
    let wish = Wish::of(head, method == Method::Import, &import::metadata(body)?);
    let id = shared.uploads.lock().unwrap().start(wish, len);
    let scheme = if shared.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let host = head.header("host").unwrap_or_default();
    let location = format!(
        "{scheme}://{host}{}?uploadType=resumable&upload_id={id}",
        head.path
    );
    Ok(Answer::empty(
        200,
        vec![("Location", location), ("X-GUploader-UploadID", id)],
    ))
}

fn store(shared: &Arc<Shared>, wish: &Wish, message: Vec<u8>) -> Result<Value, ApiRefusal> {
    shared.quota.lock().unwrap().bytes += message.len() as u64;
    import::store(shared, wish, message)
}

/// docs/gmail-import.md 4: 401 for the token, 403 for its scope.
fn authorised(shared: &Shared, method: Method, head: &Head) -> Result<(), ApiRefusal> {
    let token = head
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or(ApiRefusal::InvalidCredentials)?;
    let tokens = shared.tokens.lock().unwrap();
    let account = &shared.options.account;
    let access = tokens
        .alive(token, account, shared.clock.now())
        .ok_or(ApiRefusal::InvalidCredentials)?;
    let mut scopes = access.scope.split(' ');
    let wanted = method.scopes();
    if scopes.any(|scope| wanted.contains(&scope)) {
        Ok(())
    } else {
        Err(ApiRefusal::Scopes)
    }
}

struct LeavingQuota<'a>(&'a Shared);

impl Drop for LeavingQuota<'_> {
    fn drop(&mut self) {
        self.0.quota.lock().unwrap().leave();
    }
}
