//! Patterns of mailbox names, as a configuration has them. Not for what follows from a match (`config`).

use super::{INBOX, Listed, SpecialUse};

/// Longer ones are refused where they are read. What a match costs is this times the length of the name.
pub const PATTERN_MAX: usize = 1000;

/// Which mailboxes of the source are meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// As it was typed.
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// All mailboxes of this use.
    Use(SpecialUse),
    /// The mailbox of this name.
    Name,
    /// `*` is anything, `%` anything within a level.
    Wild(Vec<char>),
}

impl Pattern {
    /// None: it begins with `\`, and is no use that we know.
    pub fn of(text: &str) -> Option<Pattern> {
        let kind = if text.starts_with('\\') {
            if text.eq_ignore_ascii_case("\\Inbox") {
                return Some(Pattern::inbox());
            }
            Kind::Use(SpecialUse::named(text)?)
        } else if text.eq_ignore_ascii_case(INBOX) {
            return Some(Pattern::inbox());
        } else if text.contains(['*', '%']) {
            Kind::Wild(text.chars().collect())
        } else {
            Kind::Name
        };
        let text = text.to_string();
        Some(Pattern { text, kind })
    }

    pub fn inbox() -> Pattern {
        Pattern {
            text: INBOX.into(),
            kind: Kind::Name,
        }
    }

    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// It matches INBOX and nothing else.
    pub fn is_inbox(&self) -> bool {
        self.kind == Kind::Name && self.text == INBOX
    }

    /// It may match mailboxes that nobody named.
    pub fn is_wild(&self) -> bool {
        matches!(self.kind, Kind::Wild(_))
    }

    /// How many parts of a name it leaves open.
    pub fn wildcards(&self) -> usize {
        match &self.kind {
            Kind::Wild(pattern) => pattern.iter().filter(|c| is_wildcard(**c)).count(),
            Kind::Use(_) | Kind::Name => 0,
        }
    }

    pub fn matches(&self, mailbox: &Listed) -> bool {
        match &self.kind {
            Kind::Use(special) => mailbox.special == Some(*special),
            Kind::Name => mailbox.name == self.text,
            Kind::Wild(pattern) => {
                // From the pattern's end: which beginnings of what is left of the name do match. One row is enough.
                let name: Vec<char> = mailbox.name.chars().collect();
                let mut row = last_row(name.len());
                for c in pattern.iter().rev() {
                    row = row_before(*c, &name, &row);
                }
                row[0]
            }
        }
    }

    /// What each wildcard stands for in the name of a mailbox that matches; the first takes as little as it can.
    pub fn parts(&self, name: &str) -> Vec<String> {
        let Kind::Wild(pattern) = &self.kind else {
            return Vec::new();
        };
        let name: Vec<char> = name.chars().collect();
        let mut rows = vec![last_row(name.len())];
        for c in pattern.iter().rev() {
            let row = row_before(*c, &name, &rows[rows.len() - 1]);
            rows.push(row);
        }
        rows.reverse();
        let mut at = 0;
        let mut parts = Vec::new();
        for (n, c) in pattern.iter().enumerate() {
            if is_wildcard(*c) {
                let behind = rows[n + 1].iter().skip(at).position(|can| *can);
                let end = at + behind.unwrap_or_default();
                parts.push(name[at..end].iter().collect());
                at = end;
            } else {
                at = (at + 1).min(name.len());
            }
        }
        parts
    }
}

fn is_wildcard(c: char) -> bool {
    c == '*' || c == '%'
}

/// The empty pattern matches what is left of a name where nothing is left.
fn last_row(len: usize) -> Vec<bool> {
    let mut row = vec![false; len + 1];
    row[len] = true;
    row
}

/// From which places on the name matches a pattern that has `c` before one for which that is `behind`.
fn row_before(c: char, name: &[char], behind: &[bool]) -> Vec<bool> {
    let mut row = vec![false; name.len() + 1];
    for at in (0..=name.len()).rev() {
        let here = name.get(at);
        let longer = at < name.len() && row[at + 1];
        row[at] = match c {
            '*' => behind[at] || longer,
            '%' => behind[at] || (longer && here != Some(&'/')),
            c => here == Some(&c) && behind[at + 1],
        };
    }
    row
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> Listed {
        Listed {
            name: name.into(),
            ..Listed::inbox()
        }
    }

    fn parsed(pattern: &str) -> Pattern {
        Pattern::of(pattern).expect("a pattern")
    }

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::of(pattern).is_some_and(|p| p.matches(&named(name)))
    }

    #[test]
    fn a_star_is_anything_and_a_percent_sign_anything_within_a_level() {
        for (pattern, yes, no) in [
            ("Work", &["Work"][..], &["work", "Work/a", "aWork", ""][..]),
            ("inbox", &["INBOX"], &["inbox", "INBOX/a"]),
            ("*", &["", "INBOX", "Work/a/b", "日本語"], &[]),
            ("%", &["INBOX", "Work", ""], &["Work/a", "/"]),
            (
                "Work/*",
                &["Work/a", "Work/a/b", "Work/"],
                &["Work", "Works/a"],
            ),
            ("Work/%", &["Work/a", "Work/"], &["Work/a/b"]),
            ("Work*", &["Work", "Works", "Work/a"], &["a/Work"]),
            (
                "*/2024",
                &["a/2024", "a/b/2024", "/2024"],
                &["2024", "a/20245"],
            ),
            ("%/%/2024", &["a/b/2024"], &["a/2024", "a/b/c/2024"]),
            ("a*b%c", &["abc", "a/b/bxc", "axbyc"], &["ab/c", "abcd"]),
            ("%*", &["", "a/b"], &[]),
            ("?.[a]", &["?.[a]"], &["xya"]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn a_use_is_no_name() {
        let sent = Listed {
            special: Some(SpecialUse::Sent),
            ..named("Gesendet")
        };
        let pattern = parsed("\\sent");
        assert!(pattern.matches(&sent) && !pattern.matches(&named("\\sent")));
        assert!(!pattern.is_wild() && pattern.wildcards() == 0);
        assert_eq!(Pattern::of("\\All"), None);
        assert_eq!(Pattern::of("\\"), None);
        assert!(parsed("\\INBOX").is_inbox());
        assert!(parsed("Inbox").is_inbox());
        assert!(!parsed("IN*").is_inbox());
    }

    #[test]
    fn a_wildcard_stands_for_what_it_matched() {
        for (pattern, name, parts) in [
            ("Work/*", "Work/a/b", &["a/b"][..]),
            ("*/*", "a/b/c", &["a", "b/c"]),
            ("%/x/*", "a/x/b/x", &["a", "b/x"]),
            ("*2024", "2024/2024", &["2024/"]),
            ("*", "", &[""]),
            ("a*b*c", "abbc", &["", "b"]),
            ("日*", "日本語", &["本語"]),
            ("Work", "Work", &[]),
        ] {
            let told = parsed(pattern).parts(name);
            assert_eq!(told, parts, "{pattern} {name}");
        }
    }

    #[test]
    fn no_pattern_and_no_name_takes_long() {
        let begun = Instant::now();
        let name = named(&"a".repeat(4000));
        for pattern in ["a*", "*a", "%*a", "*%"] {
            let pattern = pattern.repeat(PATTERN_MAX / pattern.len() - 1) + "b";
            assert!(!matches(&pattern, &name.name));
            // What does not match has no parts; asking is harmless.
            let _ = parsed(&pattern).parts("a");
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    /// As a definition would say it; it may take for ever.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        let Some((first, rest)) = pattern.split_first() else {
            return name.is_empty();
        };
        match first {
            '*' | '%' => (0..=name.len()).any(|n| {
                let taken = *first == '*' || !name[..n].contains(&'/');
                taken && by_definition(rest, &name[n..])
            }),
            c => name.first() == Some(c) && by_definition(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_definition_says(pattern in "[ab/*%]{0,9}", name in "[ab/]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            let told = by_definition(&chars(&pattern), &chars(&name));
            let parsed = parsed(&pattern);
            prop_assert_eq!(parsed.matches(&named(&name)), told);
            let parts = parsed.parts(&name);
            prop_assert_eq!(parts.len(), parsed.wildcards());
            if told {
                let mut parts = parts.iter();
                let mut built = String::new();
                for c in pattern.chars() {
                    match c {
                        '*' | '%' => built += parts.next().map_or("", String::as_str),
                        c => built.push(c),
                    }
                }
                prop_assert_eq!(built, name);
            }
        }

        #[test]
        fn nothing_makes_it_panic(pattern in any::<String>(), name in any::<String>()) {
            if let Some(pattern) = Pattern::of(&pattern) {
                let _ = pattern.matches(&named(&name));
                let _ = pattern.parts(&name);
            }
        }
    }
}
