//! Is a route healthy? It runs, has looked at the source when it was to, needs no person, and nothing that could be delivered
//! waits for long. One rule for `health`, for monitors that are told while all is well, and for the page. Not for what is
//! told of a route besides.

use chrono::TimeDelta;

use super::life::{self, hangs};
use crate::ledger::{Part, Summary, TroubleKind};
use crate::message::Time;
use crate::text::span;

/// The part of a run that delivers, as the ledger names it.
const DELIVER: &str = "deliver";
/// So much later than announced may a look at the source come: servers take their time.
const LOOK_SLACK: TimeDelta = TimeDelta::minutes(2);
/// The first look of a run may take this long: a mailbox is listed whole for it.
const FIRST_LOOK: TimeDelta = TimeDelta::minutes(15);
/// While mail waits, something is to arrive within this time.
const STUCK: TimeDelta = TimeDelta::minutes(15);

/// What keeps a route from being healthy, in one sentence. `held`: what the lock of its run says, where that can be asked.
pub(super) fn unhealthy(s: &Summary, held: Option<bool>, now: Time) -> Option<String> {
    let Some(since) = life::running_since(&s.parts, held, now) else {
        return Some("no run of it goes on".into());
    };
    if let Some(part) = s.parts.iter().find(|part| hangs(part, now)) {
        let name = &part.name;
        return Some(format!("a part of its run gives no sign of life ({name})"));
    }
    let mut troubles = s.parts.iter().filter_map(|part| part.trouble.as_ref());
    if let Some(trouble) = troubles.clone().find(|t| t.kind == TroubleKind::NeedsUser) {
        return Some(trouble.message.clone());
    }
    let because = troubles
        .clone()
        .next()
        .map_or_else(String::new, |trouble| format!(": {}", trouble.message));
    // A run that ends by itself looks once, and leaves no word of it.
    let watches = s.parts.iter().any(|part| part.name == "watch");
    let look = s.parts.iter().find_map(|part| part.look);
    let (looked, due) = look.map_or((None, since + FIRST_LOOK), |look| {
        (Some(look.at), look.next_by + LOOK_SLACK)
    });
    if watches && now > due {
        let for_long = ago(looked.unwrap_or(since), now);
        return Some(format!(
            "the source was not looked at for {for_long}{because}"
        ));
    }
    // A limit passes by itself, and what it holds up arrives then.
    let paused = troubles.any(|trouble| trouble.kind == TroubleKind::Throttled);
    let waits = s.backlog.messages > s.backlog.later || s.in_flight > 0;
    let last = [s.last_progress_at, s.backlog.oldest, Some(since)];
    let last = last.into_iter().flatten().max().unwrap_or(since);
    if waits && !paused && now - last > STUCK {
        return Some(format!(
            "nothing was delivered for {} though mail waits{because}",
            ago(last, now)
        ));
    }
    None
}

/// The parts that have shown in this run whether anything troubles them: until then, that nothing does is no news. The first
/// pass of the deliverer may take days; what it delivers shows it too.
pub(super) fn shown(s: &Summary) -> Vec<String> {
    let delivers = |part: &Part| {
        let at = s.last_progress_at.filter(|at| *at >= part.started_at);
        part.name == DELIVER && at.is_some()
    };
    let parts = s.parts.iter().filter(|part| part.heard || delivers(part));
    parts.map(|part| part.name.clone()).collect()
}

fn ago(then: Time, now: Time) -> String {
    span((now - then).num_seconds().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::ledger::{Backlog, Look, Trouble};

    fn part(name: &str, now: Time) -> Part {
        Part {
            name: name.into(),
            started_at: now - TimeDelta::hours(1),
            beat_at: now,
            ended_at: None,
            trouble: None,
            look: None,
            heard: true,
        }
    }

    fn trouble(kind: TroubleKind, now: Time) -> Option<Trouble> {
        Some(Trouble {
            kind,
            message: "the server is away".into(),
            hint: None,
            since: now,
            own_limit: false,
        })
    }

    /// A run of an hour that watches and has nothing to do.
    fn well(now: Time) -> Summary {
        let look = Look {
            at: now - TimeDelta::seconds(60),
            next_by: now + TimeDelta::seconds(30),
        };
        Summary {
            parts: vec![
                Part {
                    look: Some(look),
                    ..part("watch", now)
                },
                part("deliver", now),
            ],
            ..Summary::default()
        }
    }

    fn waiting(messages: u64, later: u64, oldest: Time) -> Backlog {
        Backlog {
            messages,
            later,
            oldest: Some(oldest),
            ..Backlog::default()
        }
    }

    #[test]
    fn what_keeps_a_route_from_being_healthy() {
        let now = Utc::now();
        let ago = move |minutes| now - TimeDelta::minutes(minutes);
        type Change = Box<dyn Fn(&mut Summary)>;
        let cases: Vec<(&str, Change, Option<&str>)> = vec![
            ("nothing to do", Box::new(|_| {}), None),
            (
                "no run",
                Box::new(move |s| s.parts.iter_mut().for_each(|p| p.ended_at = Some(now))),
                Some("no run of it goes on"),
            ),
            (
                "a part hangs",
                Box::new(move |s| s.parts[1].beat_at = ago(5)),
                Some("a part of its run gives no sign of life (deliver)"),
            ),
            (
                "a person is needed",
                Box::new(move |s| s.parts[1].trouble = trouble(TroubleKind::NeedsUser, now)),
                Some("the server is away"),
            ),
            (
                "a trouble that may pass",
                Box::new(move |s| s.parts[1].trouble = trouble(TroubleKind::Transient, now)),
                None,
            ),
            (
                "the look is a little late",
                Box::new(move |s| {
                    let look = s.parts[0].look.as_mut();
                    look.into_iter().for_each(|look| look.next_by = ago(1));
                }),
                None,
            ),
            (
                "the look is late, and it is known why",
                Box::new(move |s| {
                    let (at, next_by) = (ago(5), ago(3));
                    s.parts[0].look = Some(Look { at, next_by });
                    s.parts[0].trouble = trouble(TroubleKind::Transient, now);
                }),
                Some("the source was not looked at for 5 min: the server is away"),
            ),
            (
                "there was no look in an hour",
                Box::new(|s| s.parts[0].look = None),
                Some("the source was not looked at for 1 h"),
            ),
            (
                "the first look takes its time",
                Box::new(move |s| {
                    s.parts[0].look = None;
                    s.parts.iter_mut().for_each(|p| p.started_at = ago(10));
                }),
                None,
            ),
            (
                "mail waits for long",
                Box::new(move |s| s.backlog = waiting(2, 1, ago(20))),
                Some("nothing was delivered for 20 min though mail waits"),
            ),
            (
                "it waits for long while other mail is delivered",
                Box::new(move |s| {
                    s.backlog = waiting(2, 1, ago(20));
                    s.last_progress_at = Some(ago(3));
                }),
                None,
            ),
            (
                "it waits for its time",
                Box::new(move |s| s.backlog = waiting(2, 2, ago(20))),
                None,
            ),
            (
                "it waits for a limit to pass",
                Box::new(move |s| {
                    s.backlog = waiting(2, 1, ago(20));
                    s.parts[1].trouble = trouble(TroubleKind::Throttled, now);
                }),
                None,
            ),
        ];
        for (case, change, why) in cases {
            let mut summary = well(now);
            change(&mut summary);
            assert_eq!(unhealthy(&summary, None, now).as_deref(), why, "{case}");
        }
    }
}
