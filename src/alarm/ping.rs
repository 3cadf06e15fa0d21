//! The address that is asked for while all is well. Whoever listens there raises the alarm when it is not any more. Not for
//! whether all is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug};

use super::Alarm;
use crate::config::PingUrl;
use crate::error::shown_within;
use crate::http::Agents;
use crate::text::span;

/// Bytes of an answer that are read: "OK", or a line of JSON.
const ANSWER_MAX: u64 = 1 << 10;
/// Characters of it that are shown.
const SHOWN: usize = 100;
/// After one that failed the next comes so much sooner.
const SOONER: u32 = 5;

/// How the pings of a route go.
#[derive(Default)]
pub(super) struct Pinger {
    /// All is well, as far as the last look could tell.
    well: bool,
    /// None before the first one.
    next: Option<Instant>,
    under_way: bool,
    /// Since when nobody answers.
    failing: Option<Instant>,
}

impl Alarm {
    pub(super) fn ping_if_due(self: &Arc<Alarm>, url: Option<&PingUrl>, well: bool) {
        let mut state = self.state();
        let pinger = &mut state.ping;
        pinger.well = well;
        let Some(url) = url.filter(|_| well && !pinger.under_way) else {
            return;
        };
        if pinger.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        pinger.under_way = true;
        pinger.next = Some(Instant::now() + self.times.ping);
        drop(state);
        let (alarm, url) = (Arc::clone(self), url.clone());
        self.hands.run_ping(Box::new(move || alarm.ping(&url)));
    }

    fn ping(&self, url: &PingUrl) {
        // It may have waited for its turn.
        let well = self.state().ping.well;
        let end = well.then(|| ask(&self.hands.agents, url));
        let mut state = self.state();
        state.ping.under_way = false;
        let before = state.ping.failing;
        match end {
            None => {}
            Some(Ok(())) => {
                state.ping.failing = None;
                match before {
                    Some(since) => {
                        let lasted = span(since.elapsed().as_secs());
                        self.say(
                            Level::Info,
                            &format!("`ping_url`: {url} answers again after {lasted}"),
                        );
                    }
                    None => debug!("`ping_url`: {url} was told that all is well"),
                }
            }
            Some(Err(why)) => {
                let now = Instant::now();
                state.ping.next =
                    Some(now + (self.times.ping / SOONER).max(Duration::from_millis(1)));
                state.ping.failing = before.or(Some(now));
                if before.is_none() {
                    self.say(Level::Warn, &format!("`ping_url`: {url} could not be told that all is well: {why}; it is tried again, and mail is not held up"));
                }
            }
        }
    }
}

/// One GET, bounded in time and size, to that place alone.
fn ask(agents: &Agents, url: &PingUrl) -> Result<(), String> {
    let masks = url.masks();
    let words = |text: &[u8]| masks.apply(&shown_within(text, SHOWN));
    let agent = agents.get(url.is_local());
    let answer = agent.get(url.reveal()).call();
    let mut answer = answer.map_err(|e| match e {
        ureq::Error::Timeout(_) => "no answer in time".into(),
        e => words(e.to_string().as_bytes()),
    })?;
    let status = answer.status();
    let mut body = Vec::new();
    // What it says is of interest only if it came.
    let _ = std::io::Read::read_to_end(
        &mut std::io::Read::take(answer.body_mut().as_reader(), ANSWER_MAX),
        &mut body,
    );
    if status.is_redirection() {
        return Err(format!(
            "it sends us elsewhere (HTTP {}): give the address that it leads to",
            status.as_u16()
        ));
    }
    // Healthchecks answers 200 also where it does not know the UUID: "OK (not found)".
    let unknown = body.starts_with(b"OK (");
    if status.is_success() && !unknown {
        return Ok(());
    }
    let said = words(body.trim_ascii());
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": \"{said}\"")
    };
    Err(format!("HTTP {}{said}", status.as_u16()))
}
