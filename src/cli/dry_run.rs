//! The dry run: a run's rehearsal, and what it says.

use std::path::Path;

use super::args::RunArgs;
use super::{columns, say};
use crate::config::{AfterDelivery, Config, Intervals};
use crate::engine::{Engine, Forecast, Plan, Planned};
use crate::error::{Error, Result, shown};
use crate::ledger::{Ledger, Overlap};
use crate::text::{Page, bytes_text, counted, minute, thousands};

pub(super) fn dry_run(
    config: Config,
    times: Intervals,
    path: &Path,
    args: &RunArgs,
    begin: impl FnOnce(&Ledger) -> Result<()>,
) -> Result<u8> {
    let scratch = tempfile::tempdir()
        .map_err(|e| Error::fatal(format!("no temporary directory can be made: {e}")))?;
    let ledger = Ledger::open_scratch(path, scratch.path())?;
    begin(&ledger)?;
    let (target, after_delivery) = (config.target_user.clone(), config.after_delivery.clone());
    let engine = Engine::new(config, times, ledger)?;
    let mut listed = 0_u64;
    let forecast = engine.forecast(&mut |planned| {
        listed += 1;
        if args.debug {
            say(&line(&planned));
        }
    })?;
    let mut sentences = sentences(&forecast, &target, path);
    sentences.extend(removal(&forecast, &after_delivery));
    if listed > 0 && !args.debug {
        sentences.push("with `--debug` each message is listed".into());
    }
    let mut page = Page::new(columns());
    for sentence in &sentences {
        page.add("", "  ", sentence);
    }
    say(&page.text());
    Ok(0)
}

/// What would become of messages at the source that are delivered already.
fn removal(f: &Forecast, wish: &AfterDelivery) -> Option<String> {
    let from = f.remove_from?;
    Some(format!(
        "from {} on {} ({}) that were delivered already would be {} at the source, each after another look at its copy",
        minute(from),
        counted(f.remove.messages, "message"),
        bytes_text(f.remove.bytes),
        wish.done(),
    ))
}

/// One message: what would become of it, its date, its size, its Message-ID. No subject, no sender.
fn line(planned: &Planned) -> String {
    let (word, why) = match &planned.plan {
        Plan::Send => ("send", String::new()),
        Plan::SendUnlessThere => ("send?", String::new()),
        Plan::Found => ("found", String::new()),
        Plan::Imported => ("known", String::new()),
        Plan::Refuse(e) => ("refuse", format!(": {}", shown(e.message.as_bytes()))),
    };
    let size = planned.size.map_or("size unknown".into(), bytes_text);
    let id = planned.message_id.as_deref().unwrap_or("no Message-ID");
    format!(
        "{word:<7} {}  {size:>12}  {id}{why}\n",
        minute(planned.date)
    )
}

/// `1 message is`, `2 messages are`
fn are(n: u64) -> String {
    match n {
        1 => "1 message is".into(),
        n => format!("{} are", counted(n, "message")),
    }
}

fn sentences(f: &Forecast, target: &str, ledger: &Path) -> Vec<String> {
    let (most, bytes) = (f.send.messages, bytes_text(f.send.bytes));
    let mut out = vec![match f.unsure {
        _ if most == 0 => format!("would send nothing to {target}"),
        0 => format!(
            "would send {} ({bytes}) to {target}",
            counted(most, "message")
        ),
        unsure => format!(
            "would send {} to {} ({bytes} at most) to {target}: {unsure} of them may be there already, or wait twice, which only the bytes tell; a run compares those, a dry run fetches none",
            thousands(most.saturating_sub(unsure)),
            counted(most, "message"),
            unsure = thousands(unsure),
        ),
    }];
    out.extend(time_text(f));
    for (count, what) in [
        (f.found, "in the target already"),
        (f.imported, "known from the Python script: not sent again"),
        (f.too_big, "bigger than the target takes, and would fail"),
        (
            f.over_limit,
            "bigger than `upload_limit_per_day` lets through, and would fail",
        ),
    ] {
        if count > 0 {
            out.push(format!("{} {what}", are(count)));
        }
    }
    if f.unresolved > 0 {
        out.push(format!(
            "{} left open by an earlier run: a run looks for that in the target first",
            are(f.unresolved)
        ));
    }
    if f.failed > 0 {
        out.push(format!(
            "{} failed in an earlier run and would not be tried again: `imap-to-gmail status --failed` says why",
            counted(f.failed, "message")
        ));
    }
    if let Some(overlap) = f.overlap.filter(Overlap::is_telling) {
        out.push(overlap.sentence(target));
        out.push(format!("hint: {}", Overlap::hint(ledger)));
    }
    out
}

/// How long the target's patience makes it take.
fn time_text(f: &Forecast) -> Option<String> {
    let last = |days| match days {
        1 => "the last of it goes after about a day".to_string(),
        n => format!("the last of it goes after about {}", counted(n, "day")),
    };
    match f.uploaded {
        _ if f.send.messages == 0 => None,
        Some((sent, limit)) => {
            let used = match sent {
                0 => String::new(),
                n => format!(", {} of which are used", bytes_text(n)),
            };
            let takes = match f.days {
                0 => "all of it may go at once".into(),
                days => format!(
                    "{} may go at once, {}",
                    counted(f.now.messages, "message"),
                    last(days)
                ),
            };
            Some(format!(
                "upload limit: {} in 24 hours{used}: {takes}",
                bytes_text(limit),
            ))
        }
        // docs/gmail.md 6: of other accounts Google says nothing.
        None => f.uploads_per_day.map(|limit| format!(
            "Google names a limit of {} MB a day for uploads over IMAP to a Workspace account; under it {}",
            limit / 1_000_000,
            match f.send.bytes.div_ceil(limit).saturating_sub(1) {
                0 => "all of it may go at once".into(),
                days => last(days),
            }
        )),
    }
}
