//! `audit`: is everything that should be in Gmail there? The sets of both sides and the rows of the ledger are compared, and
//! each message is given a class, which says what became of it and what a person can do. It looks (EXAMINE, lists, and
//! headers where nothing else tells), fetches no body, and writes nothing but what `--repair` is told to.
//!
//! Not for sending anything: what is queued again, a run looks for in the target before it sends it.

use std::path::Path;

use chrono::{TimeDelta, Utc};

use crate::config::{Config, Intervals};
use crate::error::{Error, Result};
use crate::ledger::{self, Route};

mod at_source;
mod class;
mod compare;
mod door;
mod elsewhere;
mod holdings;
mod repair;
mod report;
mod text;
mod words;

use at_source::{Known, SourceFolder, State};
use compare::Comparison;
use holdings::Holdings;

pub use class::{Class, Standing};
pub use repair::{Wanted, repairable};
pub use report::{Audit, Audited, Difference, Repaired, Totals};

impl Audit {
    /// Looks at both sides of this route, and at its ledger.
    ///
    /// # Errors
    /// A side lets us not in, or does not tell what it holds; there is no ledger, or it is another route's.
    pub fn of(config: &Config, times: &Intervals, ledger: &Path) -> Result<Audit> {
        let at = Utc::now();
        let configured = Route::new(
            &config.source_user,
            &config.source.host,
            &config.target_user,
            &config.target.host,
        );
        let (route, known) = ledger::read(ledger, |l| Ok((l.route()?, Known::of(l)?)))?;
        match &route {
            Some(route) => route.must_be(&configured, ledger)?,
            None => {
                return Err(Error::fatal(format!(
                    "{}: no run has used this ledger yet, so there is nothing to audit",
                    ledger.display()
                ))
                .hint("`imap-to-gmail run` records what the source holds, and copies it; audit after that"));
            }
        }
        let (mut source, mut target) = door::doors(config, times);
        let mut folders = at_source::look(&mut source, config, known, at)?;
        let begun = Utc::now();
        let mut holdings = Holdings::look(&mut target)?;
        let comparison = Comparison {
            ledger,
            folders: &mut folders,
            holdings: &mut holdings,
            begun,
            late: TimeDelta::from_std(times.late_commit_anonymous).unwrap_or_default(),
        };
        let found = comparison.compare(&mut source, &mut target)?;
        if let Some(source) = source.leave() {
            source.logout();
        }
        if let Some(target) = target.leave() {
            target.logout();
        }
        let mut totals = Totals::default();
        for folder in &found.totals {
            for class in Class::ALL {
                totals.add_many(class, folder.of(class));
            }
        }
        let mut differences = found.differences;
        differences.sort_by_key(|difference| {
            let standing = std::cmp::Reverse(difference.class.standing());
            (
                standing,
                difference.class,
                std::cmp::Reverse(difference.date),
            )
        });
        let folders = folders.into_iter().zip(found.totals);
        Ok(Audit {
            source: format!("{} at {}", config.source_user, config.source.host),
            target: config.target_user.clone(),
            state_file: ledger.to_path_buf(),
            at,
            gmail: holdings.gmail,
            whole: holdings.whole,
            folders: folders
                .map(|(folder, totals)| audited(folder, totals))
                .collect(),
            totals,
            differences,
        })
    }
}

fn audited(folder: SourceFolder, totals: Totals) -> Audited {
    let gone = matches!(folder.state, State::Gone);
    let (messages, trouble) = match folder.state {
        State::Told(told) => (Some(told.uids.len() as u64), None),
        State::Counted(messages) => (messages, None),
        State::Gone => (None, None),
        State::Untold(e) => (None, Some(e)),
    };
    Audited {
        name: folder.name,
        messages,
        left_out: folder.left_out,
        gone,
        totals,
        trouble,
    }
}
