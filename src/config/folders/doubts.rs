//! What may be wrong with rules that are well written, once it is known which mailboxes there are. Not for what is
//! certainly wrong: that is an error where they are read (`read`).

use std::collections::HashMap;

use super::{Mapping, Named, Rule, Rules};
use crate::error::{Note, shown, shown_within};
use crate::folder::{INBOX, Listed, Pattern, SpecialUse, Spot, label};

/// So many names stand for all of them in a sentence.
const NAMED_MAX: usize = 4;
/// So much of a name is shown where there are several.
const NAME_SHOWN: usize = 60;
/// Comparing takes longer the longer the names are.
const NEAR_MAX: usize = 64;
/// And the more there are.
const COMPARED_MAX: usize = 2_000;

impl Rules {
    /// What a person should look at, in the order of the configuration. Nobody is troubled who wrote nothing.
    pub fn doubts(&self, mailboxes: &[Listed]) -> Vec<Note> {
        if self.is_default() {
            return Vec::new();
        }
        let mut found: Vec<Note> = self
            .idle(mailboxes)
            .iter()
            .map(|named| named.is_idle(mailboxes))
            .collect();
        found.extend(self.late(mailboxes).iter().map(|named| Note {
            message: format!(
                "`{}`: {} decides over nothing: every mailbox that it matches is taken by an item before it, or excluded",
                named.key,
                quoted(&named.pattern)
            ),
            hint: "the first item that matches decides: put it further up, or delete it".into(),
        }));
        let written = self.written_otherwise(mailboxes);
        if !written.is_empty() {
            let pairs = written
                .iter()
                .map(|(asked, taken)| format!("{} as {}", quoted(asked), quoted(taken)));
            found.push(Note {
                message: format!(
                    "Gmail does not take every name for a label; written in another way: {}",
                    listed(pairs.collect())
                ),
                hint: "nothing need be done; another name can be given with `target`".into(),
            });
        }
        found.extend(self.collapses(mailboxes).iter().map(|(label, names)| Note {
            message: format!(
                "{} become one label, {}",
                listed(names.iter().map(|name| quoted(name)).collect()),
                quoted(label)
            ),
            hint: "nothing is lost by that; to keep them apart, give one of them an item of its own in `folders`, with another `target`".into(),
        }));
        found
    }

    /// The patterns that match none of these mailboxes.
    fn idle(&self, mailboxes: &[Listed]) -> Vec<Named> {
        let folders = self.folders.iter().filter(|rule| {
            let matches = |m: &Listed| rule.matches(m);
            !mailboxes.iter().any(matches)
        });
        let exclude = self.exclude.iter().filter(|pattern| {
            let matches = |m: &Listed| pattern.matches(m);
            !mailboxes.iter().any(matches)
        });
        let folders = folders.map(|rule| Named::of("folders", &rule.source));
        let exclude = exclude.map(|pattern| Named::of("exclude", pattern));
        folders.chain(exclude).collect()
    }

    /// The patterns of `folders` that match something, and decide over nothing.
    fn late(&self, mailboxes: &[Listed]) -> Vec<Named> {
        let mut deciding = vec![false; self.folders.len()];
        for mailbox in mailboxes {
            if let Mapping::Copied { rule, .. } = self.mapping(mailbox) {
                deciding[rule] = true;
            }
        }
        let rules = self.folders.iter().zip(deciding);
        rules
            .filter(|(rule, decides)| {
                let mut all = mailboxes.iter().filter(|m| m.selectable);
                !decides && all.any(|m| rule.matches(m))
            })
            .map(|(rule, _)| Named::of("folders", &rule.source))
            .collect()
    }

    /// Labels that Gmail takes only in another form: as they were asked for, and as they are taken.
    fn written_otherwise(&self, mailboxes: &[Listed]) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        let labels = self.folders.iter().flat_map(|rule| &rule.labels);
        for name in labels.chain(&self.label) {
            let pair = (name.clone(), label(name));
            if pair.0 != pair.1 && !all.contains(&pair) {
                all.push(pair);
            }
        }
        for mailbox in mailboxes {
            if let Mapping::Copied {
                destination,
                asked: Some(asked),
                ..
            } = self.mapping(mailbox)
            {
                all.push((asked, destination.spot.text().into()));
            }
        }
        all
    }

    /// Mailboxes that become one label without anybody having written so: each label with the names of these.
    pub fn collapses(&self, mailboxes: &[Listed]) -> Vec<(String, Vec<String>)> {
        let mut labels: Vec<(String, Vec<String>)> = Vec::new();
        let mut at = HashMap::new();
        for mailbox in mailboxes {
            let Mapping::Copied {
                destination, rule, ..
            } = self.mapping(mailbox)
            else {
                continue;
            };
            let meant = self.folders.get(rule).is_none_or(Rule::gathers);
            if let (Spot::Label(label), false) = (destination.spot, meant) {
                let n = *at.entry(label.to_lowercase()).or_insert(labels.len());
                if n == labels.len() {
                    labels.push((label, Vec::new()));
                }
                labels[n].1.push(mailbox.name.clone());
            }
        }
        labels.retain(|(_, names)| names.len() > 1);
        labels
    }
}

impl Named {
    pub(super) fn of(key: &'static str, pattern: &Pattern) -> Named {
        Named {
            key,
            pattern: pattern.text().into(),
        }
    }

    /// It matches nothing.
    fn is_idle(&self, mailboxes: &[Listed]) -> Note {
        let what = SpecialUse::named(&self.pattern).map(|special| match special {
            SpecialUse::Sent => "sent mail",
            SpecialUse::Drafts => "drafts",
            SpecialUse::Junk => "spam",
            SpecialUse::Trash => "deleted mail",
            SpecialUse::Archive => "archived mail",
        });
        let message = match what {
            Some(what) => format!(
                "`{}`: {} matches nothing: the source has no mailbox that is known to be for {what}",
                self.key,
                quoted(&self.pattern)
            ),
            None => format!(
                "`{}`: {} matches no mailbox of the source",
                self.key,
                quoted(&self.pattern)
            ),
        };
        let hint = match near(&self.pattern, mailboxes) {
            Some(name) => format!("did you mean {}?", quoted(name)),
            None => "`imap-to-gmail folders` shows the mailboxes there are, and their names as they must be written; upper and lower case count".into(),
        };
        Note { message, hint }
    }
}

/// The mailbox that was probably meant.
fn near<'m>(typed: &str, mailboxes: &'m [Listed]) -> Option<&'m str> {
    if typed.len() > NEAR_MAX || typed.contains(['*', '%', '\\']) {
        return None;
    }
    // As the server has it: with its prefix and its delimiter.
    let own = typed
        .split_at_checked(INBOX.len())
        .filter(|(begin, _)| begin.eq_ignore_ascii_case(INBOX))
        .and_then(|(_, rest)| rest.strip_prefix(['.', '/']))
        .unwrap_or(typed);
    let wanted = own.replace('.', "/").to_lowercase();
    let names = mailboxes.iter().take(COMPARED_MAX).map(|m| &*m.name);
    names
        .filter(|name| name.len() <= NEAR_MAX)
        .map(|name| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &wanted),
                name,
            )
        })
        .min()
        .filter(|(distance, _)| distance * 3 <= wanted.chars().count())
        .map(|(_, name)| name)
}

fn quoted(name: &str) -> String {
    format!("`{}`", shown_within(name.as_bytes(), NAME_SHOWN))
}

fn listed(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED_MAX);
    all.truncate(NAMED_MAX);
    let last = match more {
        0 if all.len() > 1 => all.pop(),
        0 => None,
        n => Some(format!("{n} more")),
    };
    let first = all.join(", ");
    shown(
        match last {
            Some(last) => format!("{first} and {last}"),
            None => first,
        }
        .as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailboxes(names: &[&str]) -> Vec<Listed> {
        let names = names.iter();
        names
            .map(|name| Listed {
                name: (*name).into(),
                ..Listed::inbox()
            })
            .collect()
    }

    #[test]
    fn what_was_probably_meant_is_named() {
        let there = mailboxes(&["INBOX", "Work", "Work/2024", "Gesendete Objekte"]);
        for (typed, meant) in [
            ("work", Some("Work")),
            ("Wrok", Some("Work")),
            ("INBOX.Work.2024", Some("Work/2024")),
            ("Inbox/Work", Some("Work")),
            ("Work.2024", Some("Work/2024")),
            ("Gesendete Objecte", Some("Gesendete Objekte")),
            ("Holidays", None),
            ("INBO\u{e9}", Some("INBOX")),
            ("Wor*", None),
            ("\\Sent", None),
        ] {
            assert_eq!(near(typed, &there), meant, "{typed}");
        }
    }

    #[test]
    fn many_names_are_a_few_and_a_number() {
        let all = |n: usize| listed((0..n).map(|n| format!("`{n}`")).collect());
        assert_eq!(all(1), "`0`");
        assert_eq!(all(2), "`0` and `1`");
        assert_eq!(all(4), "`0`, `1`, `2` and `3`");
        assert_eq!(all(7), "`0`, `1`, `2`, `3` and 3 more");
    }
}
