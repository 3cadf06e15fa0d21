//! `status`: which ledgers are meant, and whether each is the one of its configuration.

use std::path::{Path, PathBuf};

use chrono::Utc;

use super::args::{LedgerArgs, LedgersArgs, StatusArgs};
use super::run::one_ledger_each;
use super::{columns, ledger_path, say, say_aside, say_error, usual_config};
use crate::config::Outline;
use crate::error::{Error, Result, shown_within};
use crate::ledger::{self, Route};
use crate::service;
use crate::status::{Asked, Report};
use crate::text::{WIDTH, counted, shell_word, wrapped};

/// A sentence about the configuration is cut at so many characters.
const SENTENCE_MAX: usize = 1000;

pub(super) fn status(args: &StatusArgs) -> Result<u8> {
    let mut all = Report::default();
    let mut refused: Option<Error> = None;
    for ledger in each(&args.ledgers)? {
        match report(&ledger, args.failed) {
            Ok((report, doubts)) => {
                all.routes.extend(report.routes);
                for doubt in doubts {
                    say_aside(&wrapped(WIDTH, "warning: ", "  ", &doubt));
                }
            }
            Err(e) => {
                // Of several the others are shown, and what is said of the first comes last.
                if let Some(before) = refused.replace(e) {
                    say_error(&before);
                }
            }
        }
    }
    if args.json && (refused.is_none() || !all.routes.is_empty()) {
        say(&format!("{}\n", all.json()?));
    } else if !all.routes.is_empty() {
        say(&all.text(columns()));
    }
    refused.map_or(Ok(0), Err)
}

/// The ledgers that are meant, each as it is named by itself.
pub(super) fn each(args: &LedgersArgs) -> Result<Vec<LedgerArgs>> {
    let named = |config: Option<PathBuf>| LedgerArgs {
        config,
        state_file: args.state_file.clone(),
    };
    Ok(match &args.config[..] {
        [] => vec![named(None)],
        [one] if !one.is_dir() => vec![named(Some(one.clone()))],
        _ if args.state_file.is_some() => return Err(one_ledger_each()),
        places => {
            let files = service::some_configurations(places)?;
            files.into_iter().map(|file| named(Some(file))).collect()
        }
    })
}

/// What the ledger of one configuration tells, and why no run would take that configuration, or this ledger with it.
pub(super) fn report(args: &LedgerArgs, with_failed: bool) -> Result<(Report, Vec<String>)> {
    let config = args.config.clone().or_else(|| match args.state_file {
        Some(_) => None,
        None => usual_config(),
    });
    // A configuration that comes through a pipe can be read only once.
    let config = config.filter(|config| config.is_file());
    let outline = config.as_ref().map(|c| Outline::of(c, Utc::now()));
    // A configuration that no run would take may still lead to a ledger.
    let path = ledger_path(args).or_else(|e| {
        let probable = outline.as_ref().and_then(|o| o.probable_ledger.clone());
        probable.filter(|place| place.exists()).ok_or(e)
    })?;
    let files = typed(args);
    let asked = Asked {
        state_file: &path,
        with_failed,
        files: &files,
        upload_limit: outline.as_ref().and_then(|o| o.upload_limit_per_day),
    };
    let read = ledger::read(&path, |ledger| {
        // Before a run has looked at the source, the ledger may still become another route's.
        let open = ledger.is_untouched()?;
        let route = ledger.route()?.filter(|_| !open);
        Ok((route, Report::new(ledger, &asked, Utc::now())?))
    });
    let (route, report) = read.map_err(|e| match ledger::owner_alone_reads(&path) {
        Some(owner) => e.hint(format!(
            "`sudo -u {owner} imap-to-gmail status{files}` reads it"
        )),
        None => e,
    })?;
    let doubts = match (&config, &outline) {
        (Some(config), Some(outline)) => doubts(config, outline, route.as_ref(), &path),
        _ => Vec::new(),
    };
    Ok((report, doubts))
}

/// Why no run would take the configuration, or would not take this ledger with it.
fn doubts(config: &Path, outline: &Outline, route: Option<&Route>, ledger: &Path) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(first) = outline.mistakes.first() {
        let more = match outline.mistakes.len() - 1 {
            0 => String::new(),
            n => format!(", and {}", counted(n, "other mistake")),
        };
        out.push(format!(
            "no run can begin with this configuration: {}{more}; `imap-to-gmail check --config {}` says what to do. Shown is the ledger {}",
            short(first),
            shell_word(&config.display().to_string()),
            ledger.display()
        ));
    }
    if let (Some(source), Some(target), Some(found)) = (&outline.source, &outline.target, route) {
        let configured = Route::new(&source.0, &source.1, &target.0, &target.1);
        if let Err(e) = found.must_be(&configured, ledger) {
            out.push(format!(
                "{}: no run would use it with {}",
                short(&e),
                config.display()
            ));
        }
    }
    out
}

/// Cuts a sentence that quotes the configuration, whose values may be of any length.
fn short(e: &Error) -> String {
    shown_within(e.to_string().as_bytes(), SENTENCE_MAX)
}

/// The options that name the files, as a person must type them again.
fn typed(args: &LedgerArgs) -> String {
    let files = [
        ("--config", &args.config),
        ("--state-file", &args.state_file),
    ];
    files
        .into_iter()
        .filter_map(|(option, file)| Some((option, file.as_ref()?)))
        .map(|(option, file)| format!(" {option} {}", shell_word(&file.display().to_string())))
        .collect()
}
