//! `folders`, `exclude`, `label`, `skip_inbox`: which mailboxes of the source are copied, and where to. Not for
//! finding out which mailboxes there are (`session`), nor what the target calls its own (`target`).

use super::Since;
use crate::folder::{
    Delivery, Destination, INBOX, Listed, Pattern, SpecialUse, Spot, label, same_label,
};

mod doubts;
mod read;

/// What the configuration says of all mailboxes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The first that matches decides.
    folders: Vec<Rule>,
    /// These win.
    exclude: Vec<Pattern>,
    /// For every message.
    label: Option<String>,
    skip_inbox: bool,
    road: Road,
    never_mark_spam: bool,
}

/// What `delivery` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Road {
    #[default]
    Append,
    Import,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    source: Pattern,
    /// None: what the source's mailbox is.
    target: Option<Target>,
    labels: Vec<String>,
    label_found: bool,
    since: Option<Since>,
    /// None: as the whole configuration has it.
    road: Option<Road>,
    never_mark_spam: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
enum Target {
    Spot(Spot),
    /// A label. Each `*` in it stands for what a wildcard of the pattern matched.
    Template(String),
}

/// What becomes of a mailbox of the source.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapping {
    Copied {
        destination: Destination,
        delivery: Delivery,
        /// How far back the first look at it reaches, where its rule says so.
        since: Option<Since>,
        /// Which of `folders` decided, from 0 on.
        rule: usize,
        /// The label that was asked for, where Gmail takes it only in another form.
        asked: Option<String>,
    },
    LeftOut(Why),
}

/// Why a mailbox is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// By this one of `exclude`, from 0 on.
    Excluded(usize),
    /// None of `folders` matches.
    Unmatched,
    /// It shows messages of other mailboxes or other people, and nobody named it.
    Virtual,
    CannotBeOpened,
}

/// A pattern of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `folders` or `exclude`.
    pub key: &'static str,
    pub pattern: String,
}

impl Default for Rules {
    /// What has been copied since before there was a choice.
    fn default() -> Rules {
        Rules {
            folders: vec![Rule::of(Pattern::inbox())],
            exclude: Vec::new(),
            label: None,
            skip_inbox: false,
            road: Road::Append,
            never_mark_spam: false,
        }
    }
}

impl Rule {
    fn of(source: Pattern) -> Rule {
        Rule {
            source,
            target: None,
            labels: Vec::new(),
            label_found: false,
            since: None,
            road: None,
            never_mark_spam: None,
        }
    }

    /// What nobody named, a wildcard does not take twice.
    fn matches(&self, mailbox: &Listed) -> bool {
        self.source.matches(mailbox) && !(mailbox.is_virtual && self.source.is_wild())
    }

    /// Many mailboxes into one place: somebody wrote that, it did not come about.
    fn gathers(&self) -> bool {
        match &self.target {
            Some(Target::Spot(_)) => true,
            Some(Target::Template(name)) => !name.contains('*'),
            None => false,
        }
    }

    /// Where the messages of this mailbox go, and the label as it was asked for.
    fn spot(&self, mailbox: &Listed) -> (Spot, Option<String>) {
        let asked = match (&self.target, mailbox.special) {
            (Some(Target::Spot(spot)), _) => return (spot.clone(), None),
            (Some(Target::Template(name)), _) => filled(name, self.source.parts(&mailbox.name)),
            (None, _) if mailbox.name == INBOX => return (Spot::Inbox, None),
            (None, Some(special)) => return (Spot::Use(special), None),
            (None, None) => mailbox.name.clone(),
        };
        // No label is called so, and nobody means one.
        if asked.eq_ignore_ascii_case(INBOX) {
            return (Spot::Inbox, None);
        }
        (Spot::Label(label(&asked)), Some(asked))
    }
}

/// Each `*` of the template replaced by the part that it stands for.
fn filled(template: &str, parts: Vec<String>) -> String {
    let mut parts = parts.into_iter();
    let mut out = String::new();
    for c in template.chars() {
        if c == '*' {
            out += &parts.next().unwrap_or_default();
        } else {
            out.push(c);
        }
    }
    out
}

impl Rules {
    /// Nothing but INBOX is copied, whatever else the source has: it need not be asked for its mailboxes.
    pub fn inbox_alone(&self) -> bool {
        self.folders.iter().all(|rule| rule.source.is_inbox())
    }

    /// Nobody wrote anything of mailboxes.
    pub fn is_default(&self) -> bool {
        let of_roads = Rules {
            road: self.road,
            never_mark_spam: self.never_mark_spam,
            ..Rules::default()
        };
        *self == of_roads
    }

    /// What becomes of this mailbox: the first rule that matches decides.
    pub fn mapping(&self, mailbox: &Listed) -> Mapping {
        if let Some(n) = self.exclude.iter().position(|p| p.matches(mailbox)) {
            return Mapping::LeftOut(Why::Excluded(n));
        }
        if !mailbox.selectable {
            return Mapping::LeftOut(Why::CannotBeOpened);
        }
        let mut rules = self.folders.iter().enumerate();
        match rules.find(|(_, rule)| rule.matches(mailbox)) {
            Some((n, rule)) => self.copied(n, rule, mailbox),
            None if mailbox.is_virtual => Mapping::LeftOut(Why::Virtual),
            None => Mapping::LeftOut(Why::Unmatched),
        }
    }

    fn copied(&self, n: usize, rule: &Rule, mailbox: &Listed) -> Mapping {
        let (mut spot, asked) = rule.spot(mailbox);
        if self.skip_inbox && spot == Spot::Inbox {
            spot = Spot::Use(SpecialUse::Archive);
        }
        let mut labels: Vec<String> = Vec::new();
        for name in rule.labels.iter().chain(&self.label) {
            let name = label(name);
            let own = matches!(&spot, Spot::Label(own) if same_label(own, &name));
            if !own && !labels.iter().any(|known| same_label(known, &name)) {
                labels.push(name);
            }
        }
        // In a label's mailbox is archived and labelled: one command less.
        if spot == Spot::Use(SpecialUse::Archive) && !labels.is_empty() {
            spot = Spot::Label(labels.remove(0));
        }
        let asked = asked.filter(|asked| *asked != spot.text());
        Mapping::Copied {
            destination: Destination {
                spot,
                labels,
                label_found: rule.label_found,
            },
            delivery: self.delivery(rule),
            since: rule.since,
            rule: n,
            asked,
        }
    }

    fn delivery(&self, rule: &Rule) -> Delivery {
        match rule.road.unwrap_or(self.road) {
            Road::Append => Delivery::Append,
            Road::Import => Delivery::Import {
                never_mark_spam: rule.never_mark_spam.unwrap_or(self.never_mark_spam),
            },
        }
    }

    /// Does the new mail of any folder go through Gmail's API?
    pub fn any_by_import(&self) -> bool {
        let by_import = |rule| self.delivery(rule) != Delivery::Append;
        self.folders.iter().any(by_import)
    }

    /// The pattern that decided over a mailbox, if one did.
    pub fn decided(&self, mapping: &Mapping) -> Option<Named> {
        match mapping {
            Mapping::Copied { rule, .. } => {
                let rule = self.folders.get(*rule)?;
                Some(Named::of("folders", &rule.source))
            }
            Mapping::LeftOut(Why::Excluded(n)) => Some(Named::of("exclude", self.exclude.get(*n)?)),
            Mapping::LeftOut(_) => None,
        }
    }

    /// The key that only Gmail can do, if there is one.
    pub fn gmail_only(&self) -> Option<&'static str> {
        if self.label.is_some() {
            Some("label")
        } else {
            let any = self.folders.iter().any(|rule| !rule.labels.is_empty());
            any.then_some("labels")
        }
    }
}

#[cfg(test)]
mod tests;
