//! By which road a message goes into the target: one pure rule. Not for whether the second road is open (`imports`), nor
//! for taking it (`send`, `by_import`).

use chrono::{DateTime, TimeDelta};

use crate::folder::{SpecialUse, Spot};
use crate::ledger::RefusedBy;
use crate::message::{Discovered, Time, date_header_time};
use crate::target::{Road, Takes};

/// A Date header may be this far ahead of our clock.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// What is known of the road through Gmail's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none: the target is no Gmail, or we sign in with a password.
    None,
    Open,
    /// Not before this moment; that passes by itself.
    Rests(Time),
    /// A person is needed. It is tried again at that moment.
    Refused(Time, String),
}

/// What is known of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    /// Its folder wants it imported.
    pub(super) by_import: bool,
    /// The road that has refused it for what it is.
    pub(super) refused_by: Option<RefusedBy>,
    /// Why an import would lose something of it.
    pub(super) unfit: Option<&'a str>,
    /// In bytes.
    pub(super) size: u64,
}

/// The road, and why it is another one than the folder's, where that is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Append(Option<String>),
    Import(Option<String>),
    /// That which has not refused it yet.
    TheOther(Road),
    /// Not before this moment.
    Wait(Time),
}

pub(super) fn way(message: Wish<'_>, standing: &Standing, append: Takes) -> Way {
    if message.refused_by == Some(RefusedBy::Import) {
        return Way::TheOther(Road::Append);
    }
    let refused = message.refused_by == Some(RefusedBy::Append);
    let too_big = message.size > append.largest || refused;
    if !(message.by_import || too_big) {
        return Way::Append(None);
    }
    if let Some(why) = message.unfit {
        return Way::Append(Some(format!("not imported: {why}")));
    }
    match standing {
        Standing::None => Way::Append(None),
        Standing::Open if refused => Way::TheOther(Road::Import),
        Standing::Open if message.by_import => Way::Import(None),
        Standing::Open => Way::Import(Some("too big for APPEND".into())),
        Standing::Rests(until) => Way::Wait(*until),
        // APPEND would lose it.
        Standing::Refused(until, _) if too_big && message.by_import => Way::Wait(*until),
        Standing::Refused(_, why) => Way::Append(Some(format!("not imported: {why}"))),
    }
}

/// Why an import would lose something of this message: Gmail's API gives a message the date of its Date header and no
/// other, knows no answered mail, and does not say what it does with drafts and sent mail (docs/gmail-import.md 3).
/// `body`: what is known of its bytes.
pub(super) fn unfit(
    about: &Discovered,
    body: &[u8],
    spot: &Spot,
    now: Time,
) -> Option<&'static str> {
    if let Spot::Use(SpecialUse::Sent | SpecialUse::Drafts) = spot {
        return Some("what goes to Sent or Drafts is not mail that came");
    }
    if about.flags.answered || about.flags.draft {
        return Some("Gmail's API cannot mark mail as answered, or as a draft");
    }
    let Some(header) = &about.date else {
        return Some("without a Date header Gmail's API would date it today");
    };
    let date = date_header_time(header);
    let strictly = DateTime::parse_from_rfc2822(header.trim()).ok();
    let has_whole_year = header
        .split_whitespace()
        .any(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()));
    let is_plain = has_whole_year && !has_folded_date(body);
    if !is_plain || date.is_none() || strictly.map(|d| d.to_utc()) != date {
        return Some("Gmail's API may not understand its Date header, and would date it today");
    }
    let ahead = date.is_some_and(|date| date > now + AHEAD_MAX);
    ahead.then_some("its Date header lies in the future")
}

/// Does its Date header go on in a second line? Gmail dated such a message today (docs/gmail-import.md 3).
fn has_folded_date(body: &[u8]) -> bool {
    let lines = body.split(|&b| b == b'\n');
    let header = lines.take_while(|line| !matches!(line, [] | [b'\r']));
    let is_date = |line: &[u8]| {
        line.get(..5)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"date:"))
    };
    let mut rest = header.skip_while(|line| !is_date(line)).skip(1);
    rest.next()
        .is_some_and(|line| line.starts_with(b" ") || line.starts_with(b"\t"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Flags, Uid};

    #[test]
    fn which_road() {
        let takes = Takes {
            nul: false,
            largest: 100,
        };
        let until = Time::UNIX_EPOCH;
        let refused = Standing::Refused(until, "off".into());
        let detour = |why: &str| Some(why.to_string());
        let small = Wish {
            by_import: true,
            refused_by: None,
            unfit: None,
            size: 100,
        };
        let history = Wish {
            by_import: false,
            ..small
        };
        let big = Wish { size: 101, ..small };
        let big_history = Wish {
            size: 101,
            ..history
        };
        let too_big = Wish {
            refused_by: Some(RefusedBy::Append),
            ..history
        };
        let odd = Wish {
            refused_by: Some(RefusedBy::Import),
            ..small
        };
        let unfit = |wish| Wish {
            unfit: Some("odd"),
            ..wish
        };
        let (none, open, rests) = (Standing::None, Standing::Open, Standing::Rests(until));
        let append = || Way::Append(None);
        let table = [
            (history, &open, append()),
            (history, &rests, append()),
            (unfit(history), &open, append()),
            (small, &none, append()),
            (small, &open, Way::Import(None)),
            (small, &rests, Way::Wait(until)),
            (small, &refused, Way::Append(detour("not imported: off"))),
            (
                unfit(small),
                &open,
                Way::Append(detour("not imported: odd")),
            ),
            (
                unfit(small),
                &rests,
                Way::Append(detour("not imported: odd")),
            ),
            (big, &open, Way::Import(None)),
            (big, &refused, Way::Wait(until)),
            (big, &none, append()),
            (
                big_history,
                &open,
                Way::Import(detour("too big for APPEND")),
            ),
            (big_history, &rests, Way::Wait(until)),
            (
                big_history,
                &refused,
                Way::Append(detour("not imported: off")),
            ),
            (too_big, &open, Way::TheOther(Road::Import)),
            (odd, &open, Way::TheOther(Road::Append)),
            (odd, &rests, Way::TheOther(Road::Append)),
            (
                unfit(too_big),
                &open,
                Way::Append(detour("not imported: odd")),
            ),
        ];
        for (n, (message, standing, wanted)) in table.into_iter().enumerate() {
            assert_eq!(way(message, standing, takes), wanted, "row {n}");
        }
    }

    #[test]
    fn what_an_import_would_lose() {
        let now = DateTime::parse_from_rfc2822("Sun, 29 Nov 2026 12:00:00 +0000");
        let now = now.map(|now| now.to_utc()).unwrap_or_default();
        let mail = |date: Option<&str>, flags: &str| Discovered {
            uid: Uid(1),
            message_id: None,
            date: date.map(str::to_string),
            internal_date: Some(now),
            size: Some(1),
            flags: Flags::parse(flags),
            gm_msgid: None,
        };
        let good = Some("Sun, 29 Nov 2026 13:00:00 +0100");
        let fits = |date, flags, spot: Spot| unfit(&mail(date, flags), b"", &spot, now).is_none();
        assert!(fits(good, "\\Seen \\Flagged", Spot::Inbox));
        assert!(fits(good, "", Spot::Use(SpecialUse::Junk)));
        assert!(!fits(good, "", Spot::Use(SpecialUse::Sent)));
        assert!(!fits(good, "\\Answered", Spot::Inbox));
        for date in [
            None,
            Some("27 Jan 00 15:03:00 PDT"),
            Some("yesterday"),
            Some("Sun, 29 Nov 2028 13:00:00 +0100"),
            Some("Thu, 01 Jan 1970 00:00:00 +0000"),
        ] {
            assert!(!fits(date, "", Spot::Inbox), "{date:?}");
        }
        let folded = b"Subject: x\r\ndate: Sun, 29 Nov 2026\r\n 13:00:00 +0100\r\n\r\n";
        assert!(unfit(&mail(good, ""), folded, &Spot::Inbox, now).is_some());
        let other =
            b"Date: Sun, 29 Nov 2026 13:00:00 +0100\r\nSubject: x\r\n y\r\n\r\nDate: x\r\n y";
        assert!(unfit(&mail(good, ""), other, &Spot::Inbox, now).is_none());
    }
}
