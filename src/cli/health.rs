//! `health`: one line, and an exit status, for what asks again and again. Not for what health is (`status`).

use super::args::HealthArgs;
use super::{say, status};
use crate::error::{Result, shown_within};
use crate::text::counted;

/// A sentence that is longer is cut: monitors show one line.
const SENTENCE_MAX: usize = 500;

pub(super) fn health(args: &HealthArgs) -> Result<u8> {
    let mut unhealthy: Vec<String> = Vec::new();
    let mut well: Vec<String> = Vec::new();
    for ledger in status::each(&args.ledgers)? {
        match status::report(&ledger, false) {
            Ok((_, doubts)) if !doubts.is_empty() => unhealthy.extend(doubts.into_iter().take(1)),
            Ok((report, _)) => {
                for route in report.routes {
                    let name = route.name();
                    match &route.unhealthy {
                        None => well.push(name),
                        Some(why) => unhealthy.push(format!("{name}: {why}")),
                    }
                }
            }
            Err(e) => unhealthy.push(e.message),
        }
    }
    let all = well.len() + unhealthy.len();
    let line = match (&unhealthy[..], &well[..]) {
        ([], [one]) => format!("healthy: {one}"),
        ([], _) => format!("healthy: {}", counted(all as u64, "route")),
        ([one], []) => format!("unhealthy: {one}"),
        ([first, ..], _) => {
            let routes = counted(all as u64, "route");
            format!("unhealthy: {} of {routes}: {first}", unhealthy.len())
        }
    };
    say(&format!(
        "{}\n",
        shown_within(line.as_bytes(), SENTENCE_MAX)
    ));
    Ok(u8::from(!unhealthy.is_empty()))
}
