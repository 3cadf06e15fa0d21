//! The token file: is it good, will it last, and what does its endpoint say about this machine's clock?

use std::path::Path;

use chrono::{TimeDelta, Utc};

use super::{CLOCK, Finding, PATIENCE};
use crate::config::{Intervals, Origin, Secret};
use crate::message::Time;
use crate::oauth::{Keeping, Proof, Renewal, Tokens};
use crate::text::minute;

/// A token is renewed a minute before its end: with a clock that is further off that comes too late.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(60);

const TRY_AGAIN: &str = "try again later; is this machine online?";

/// Tries the token file at `path`. Gives the access token, or why there is none to sign in with.
pub(super) fn tried(
    side: &str,
    path: &Path,
    origin: Option<&Origin>,
    times: &Intervals,
    tell: &mut dyn FnMut(Finding),
) -> Result<Secret<String>, String> {
    let (name, now) = (format!("{side}_token"), Utc::now());
    let mut tokens = Tokens::new(path, times.command.min(PATIENCE));
    if let Some(origin) = origin {
        tokens = tokens.named_by(origin);
    }
    let proof = match tokens.prove(now) {
        Ok(proof) => proof,
        Err(e) => {
            tell(Finding::problem(&name, &e, TRY_AGAIN));
            return Err("there is no token".into());
        }
    };
    tell(finding(&name, path, &proof, now));
    if let Some(finding) = kept(side, path, &proof) {
        tell(finding);
    }
    if let Some(ahead) = proof.ahead {
        tell(clock(ahead));
    }
    proof
        .access
        .map(|access| access.token)
        .ok_or_else(|| "there is no token that is good now".into())
}

fn finding(name: &str, path: &Path, proof: &Proof, now: Time) -> Finding {
    let file = path.display();
    let held = match proof.expiry {
        Some(end) if end > now => format!("its access token lasts until {}", minute(end)),
        Some(end) => format!("its access token ended {}", minute(end)),
        None => "it does not say when its access token ends".into(),
    };
    match &proof.renewal {
        Renewal::Failed(e) => return Finding::problem(name, e, TRY_AGAIN),
        Renewal::Impossible(key) => {
            return Finding::warning(
                name,
                format!("{file}: {held}, and there is no `{key}` in it to renew it with"),
                format!(
                    "{}; with what it then holds nobody has to do that every hour",
                    proof.sign_in
                ),
            );
        }
        Renewal::NotTried => {
            let text = format!(
                "{file}: {held}; a renewal was not tried, since it may use up the refresh token, and a check writes nothing down"
            );
            return match proof.access {
                Some(_) => Finding::ok(name, text),
                None => Finding::warning(name, text, "the next run renews it and keeps what comes"),
            };
        }
        Renewal::Replaced => {
            return Finding::warning(
                name,
                format!(
                    "{file} was written anew: the token endpoint replaced the refresh token, and the old one may be good for nothing now"
                ),
                "nothing need be done",
            );
        }
        Renewal::Works => {}
    }
    let renewed = format!("{file} can be renewed (tried, and not written down)");
    if let Some(e) = &proof.ends_soon {
        return Finding::only_warning(name, e);
    }
    match proof.consented_at {
        None => Finding::ok(name, format!("{renewed}; {held}")),
        Some(at) => Finding::ok(
            name,
            format!("{renewed}; {held}; consent was given {}", minute(at)),
        ),
    }
}

/// A finding where a renewed token cannot be written as it should be.
fn kept(side: &str, path: &Path, proof: &Proof) -> Option<Finding> {
    let (name, file) = (format!("{side}_token_file"), path.display());
    match &proof.keeping {
        Keeping::InAnother => None,
        Keeping::InPlace => Some(Finding::warning(
            &name,
            format!(
                "{file} cannot be replaced by a new file, so it is written in place: it is mounted as a single file, or its folder cannot be written"
            ),
            "nothing need be done; but a power cut at such a moment may cost the sign-in: better mount the folder, or make it writable",
        )),
        Keeping::NotAtAll(e) => Some(Finding::warning(
            &name,
            format!("{file} cannot be written: {e}"),
            if proof.rotates {
                "each renewal may bring another refresh token, and one that is not kept ends the sign-in: make the file writable, best with its folder"
            } else {
                "`run` keeps a renewed token in memory, which does for Google; `auth` needs to write the file"
            },
        )),
    }
}

fn clock(ahead: TimeDelta) -> Finding {
    let name = CLOCK;
    let seconds = ahead.num_seconds();
    if ahead.abs() <= SKEW_MAX {
        return Finding::ok(
            name,
            "this machine's clock agrees with the token endpoint's",
        );
    }
    let way = if seconds > 0 { "behind" } else { "ahead of" };
    Finding::warning(
        name,
        format!(
            "this machine's clock is {} s {way} the token endpoint's: tokens and certificates are judged by it",
            seconds.abs()
        ),
        "set it, best by a time service (`timedatectl set-ntp true`)",
    )
}
