//! import and insert (docs/gmail-import.md 1 to 3): a message out of a request, and what Gmail does with it. How a
//! request is told from another, and what goes wrong with it, is `rest`'s.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, FixedOffset};
use serde_json::{Value, json};

use super::http::{Answer, Head};
use super::labels;
use super::log::sha256;
use super::refusals::ApiRefusal;
use crate::message::{Place, raw_header, split};
use crate::server::Shared;
use crate::store::Import;

/// With padding and without (docs/gmail-import.md 1.1).
const RAW: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Names that end so cannot be attached (docs/gmail-import.md 4).
const BLOCKED: [&str; 5] = [".exe", ".bat", ".scr", ".vbs", ".jar"];

/// What a request says of a message, beside its bytes.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Import; else insert.
    pub(super) import: bool,
    by_header: bool,
    never_mark_spam: bool,
    labels: Vec<String>,
}

impl Wish {
    pub(super) fn of(head: &Head, import: bool, metadata: &Value) -> Wish {
        let ids = metadata["labelIds"].as_array().into_iter().flatten();
        let source = head.query("internalDateSource");
        Wish {
            import,
            by_header: source.map_or(import, |source| source == "dateHeader"),
            never_mark_spam: head.query("neverMarkSpam") == Some("true"),
            labels: ids.filter_map(|id| Some(id.as_str()?.into())).collect(),
        }
    }
}

/// The metadata and the message of a request that holds both.
pub(super) fn parts(head: &Head, body: Vec<u8>) -> Result<(Value, Vec<u8>), ApiRefusal> {
    match head.query("uploadType") {
        Some("media") => Ok((json!({}), body)),
        Some("multipart") => multipart(head, &body).ok_or(ApiRefusal::BadRequest),
        Some(_) => Err(ApiRefusal::BadRequest),
        None => {
            let metadata = metadata(&body)?;
            let raw = metadata["raw"].as_str().unwrap_or_default();
            let message = RAW.decode(raw).map_err(|_| ApiRefusal::InvalidArgument)?;
            Ok((metadata, message))
        }
    }
}

/// JSON; nothing at all is no wish at all.
pub(super) fn metadata(body: &[u8]) -> Result<Value, ApiRefusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|_| ApiRefusal::BadRequest)
}

fn multipart(head: &Head, body: &[u8]) -> Option<(Value, Vec<u8>)> {
    let kind = head.header("content-type")?;
    let (_, boundary) = kind.split_once("boundary=")?;
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    let delimiter = format!("\r\n--{boundary}");
    // The first has no line before it.
    let body = [b"\r\n", body].concat();
    let starts: Vec<usize> = body
        .windows(delimiter.len())
        .enumerate()
        .filter(|(_, window)| *window == delimiter.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let [first, second, third] = starts[..] else {
        return None;
    };
    let part = |from: usize, to: usize| {
        let part = body.get(from + delimiter.len() + 2..to)?;
        Some(split(part).1.to_vec())
    };
    let ends = body.get(third + delimiter.len()..)?.starts_with(b"--");
    let metadata = serde_json::from_slice(&part(first, second)?).ok()?;
    ends.then_some((metadata, part(second, third)?))
}

/// Stores the message, or says why not.
pub(super) fn store(
    shared: &Arc<Shared>,
    wish: &Wish,
    bytes: Vec<u8>,
) -> Result<Value, ApiRefusal> {
    let knobs = shared.knobs.lock().unwrap().clone();
    if bytes.is_empty() {
        return Err(ApiRefusal::RawRequired);
    }
    let mut store = shared.store.lock().unwrap();
    let mut marks = labels::marks(&store, &wish.labels)?;
    if wish.import {
        taken(&bytes)?;
    }
    let says = |part: &String| String::from_utf8_lossy(&bytes).contains(part.as_str());
    for filter in &knobs.api.filters {
        if wish.import && says(&filter.holds) && marks.place == Place::Live {
            if let Some(label) = &filter.label {
                store.create(label);
                marks.labels.insert(label.clone());
            }
            if filter.skip_inbox {
                marks.labels.remove("\\Inbox");
            }
        }
    }
    let spared = wish.never_mark_spam && !knobs.api.never_mark_spam_ignored;
    let spam = wish.import && !spared && knobs.api.spam.iter().any(says);
    let spam = spam && marks.place == Place::Live;
    let later = knobs.api.classified_on_command;
    if spam && !later {
        marks.place = Place::Spam;
        marks.labels.remove("\\Inbox");
    }
    let now = shared.clock.now();
    let trace = if wish.import && knobs.api.trace_lines {
        trace(&shared.options.account, &now.to_rfc2822())
    } else {
        String::new()
    };
    let date = if wish.by_header { date(&bytes) } else { None };
    let (raw, known) = (sha256(&bytes), store.messages.len());
    let import = Import {
        bytes,
        trace,
        marks,
        delivered: wish.import,
        date,
        now,
    };
    let id = store.import(import, &knobs);
    if wish.import {
        let merged = store.messages.len() == known;
        shared.api_log.lock().unwrap().imported(raw, id, merged);
    }
    let message = &store.messages[&id];
    let mut ids = labels::ids_of(&store, message);
    if !knobs.api.reply_tells_spam {
        ids.retain(|id| id != "SPAM");
    }
    let reply = json!({
        "id": format!("{id:x}"),
        "threadId": format!("{:x}", message.thread),
        "labelIds": ids,
    });
    drop(store);
    if spam && later {
        shared.held.lock().unwrap().spam(id);
    }
    Ok(reply)
}

/// What import refuses that APPEND takes (docs/gmail-import.md 4).
fn taken(bytes: &[u8]) -> Result<(), ApiRefusal> {
    let from: Vec<&[u8]> = raw_header(bytes, "From").collect();
    let [from] = from[..] else {
        return Err(ApiRefusal::SingleFrom);
    };
    // Several addresses in one are refused, too.
    let from = String::from_utf8_lossy(from);
    if from.matches('@').count() != 1 {
        return Err(ApiRefusal::InvalidFrom);
    }
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let names = |end: &str| text.contains(&format!("{end}\"")) && text.contains("name=\"");
    if BLOCKED.iter().any(|end| names(end)) {
        return Err(ApiRefusal::InvalidAttachment);
    }
    Ok(())
}

/// The Date header, if it can be read: a folded one could not (docs/gmail-import.md 3.2).
fn date(bytes: &[u8]) -> Option<DateTime<FixedOffset>> {
    let raw = raw_header(bytes, "Date").next()?;
    let text = std::str::from_utf8(raw).ok()?.trim();
    if text.contains('\n') {
        return None;
    }
    DateTime::parse_from_rfc2822(text).ok()
}

/// What import puts in front (docs/gmail-import.md 3.1).
fn trace(account: &str, date: &str) -> String {
    format!(
        "Delivered-To: {account}\r\n\
         Received: by 2002:ab0:15e3:0:0:0:0:0 with SMTP id x32csp1;\r\n        {date}\r\n\
         X-Google-Smtp-Source: AGHT+IEstandinstandin\r\n\
         X-Received: by 2002:a05:6102:3053:: with SMTP id w19mr1;\r\n        {date}\r\n\
         Received: from 407408718192 named unknown by gmailapi.google.com with HTTPREST;\r\n        {date}\r\n"
    )
}

pub(super) fn done(reply: &Value) -> Answer {
    Answer::json(200, reply)
}
