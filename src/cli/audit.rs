//! `audit`: which routes are audited, what is printed, and what is queued again. Not for what is found (`crate::audit`).

use std::path::Path;

use chrono::Utc;
use serde_json::{Value, json};

use super::args::AuditArgs;
use super::{columns, say, say_error, say_notes};
use crate::audit::{Audit, Repaired, Wanted};
use crate::config::{Config, Intervals};
use crate::error::{Again, Error, Result};
use crate::ledger::{self, Route, RowId};
use crate::service;
use crate::text::{counted, wrapped};

pub(super) fn audit(args: &AuditArgs, times: &Intervals) -> Result<u8> {
    let several = !matches!(&args.config[..], [one] if !one.is_dir());
    let files = if several {
        service::some_configurations(&args.config)?
    } else {
        args.config.clone()
    };
    let names_rows = args.repair.iter().any(|one| matches!(one, Wanted::Row(_)));
    if files.len() > 1 && names_rows {
        return Err(Error::usage(
            "`--repair` with ids is for one configuration: each ledger has ids of its own",
        )
        .hint("name the one configuration whose messages are meant with `--config`"));
    }
    let mut routes: Vec<Value> = Vec::new();
    let mut statuses = Vec::new();
    for file in &files {
        match audit_one(args, file, times) {
            Ok((audit, repaired)) => {
                statuses.push(audit.exit_status_after(&repaired));
                if args.json {
                    routes.push(route_json(args, &audit, &repaired));
                } else {
                    let gap = if statuses.len() > 1 { "\n" } else { "" };
                    say(&format!("{gap}{}", audit.text(columns(), args.all)));
                    say(&repair_text(args, &repaired));
                }
            }
            Err(e) => {
                statuses.push(exit_status(&e));
                say_error(&e);
            }
        }
    }
    if args.json && !routes.is_empty() {
        say(&format!("{}\n", json!({ "routes": routes })));
    }
    let first = [2, 1, 4, 3].into_iter().find(|s| statuses.contains(s));
    Ok(first.unwrap_or(0))
}

fn audit_one(args: &AuditArgs, file: &Path, times: &Intervals) -> Result<(Audit, Repaired)> {
    let config = Config::load(file, Utc::now())?;
    let chosen = ledger::choose(&config.ledger.path, &config.ledger.older, || {
        Ok(Route::new(
            &config.source_user,
            &config.source.host,
            &config.target_user,
            &config.target.host,
        ))
    })?;
    say_notes(config.moved.iter().chain(&chosen.notes));
    let audit = Audit::of(&config, times, &chosen.path)?;
    let repaired = audit.repair(&args.repair, Utc::now())?;
    Ok((audit, repaired))
}

/// A trouble that passes by itself did not pass within the audit.
fn exit_status(e: &Error) -> u8 {
    match e.reaction() {
        reaction if reaction.again == Again::AfterPause => 1,
        reaction => reaction.exit_status,
    }
}

fn route_json(args: &AuditArgs, audit: &Audit, repaired: &Repaired) -> Value {
    let mut route = audit.json();
    route["exit_status"] = audit.exit_status_after(repaired).into();
    if !args.repair.is_empty() {
        let queued: Vec<i64> = repaired.queued.iter().map(|RowId(id)| *id).collect();
        route["repaired"] = json!({
            "queued": queued,
            "not_at_source": repaired.not_at_source,
            "changed": repaired.changed,
        });
    }
    route
}

/// What `--repair` did.
fn repair_text(args: &AuditArgs, repaired: &Repaired) -> String {
    if args.repair.is_empty() {
        return String::new();
    }
    let mut sentences = vec![match repaired.queued.len() {
        0 => "nothing was queued again".into(),
        n => format!(
            "pending again: {}. A run looks for each in Gmail, and sends what is not there: one that is under way within a minute, else the next one",
            counted(n, "message")
        ),
    }];
    if repaired.with_them > 0 {
        sentences.push(format!(
            "{} of them only because the same bytes are sent once: one of these messages vouched for the other",
            repaired.with_them
        ));
    }
    if repaired.not_at_source > 0 {
        sentences.push(format!(
            "left alone, since the source has them no longer: {}",
            counted(repaired.not_at_source, "message")
        ));
    }
    if repaired.changed > 0 {
        sentences.push(format!(
            "left alone, since something has become of them meanwhile: {}",
            counted(repaired.changed, "message")
        ));
    }
    let text: String = sentences
        .iter()
        .map(|sentence| wrapped(columns(), "", "  ", sentence))
        .collect();
    format!("\n{text}")
}
