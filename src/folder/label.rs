//! Names of labels as Gmail takes them (docs/gmail.md 5). What it would refuse is written in another way, always the
//! same one, so that the same mailbox gets the same label on every machine. Not for whether Gmail has a label, nor
//! for the name on the wire: that is modified UTF-7 (`utf7`).

/// The most characters of a label (docs/gmail.md 5).
pub const LABEL_MAX: usize = 225;

/// Gmail has these itself, in any case of letters, or had them once (docs/gmail.md 5). Only whole names: `Work/Sent`
/// is a label like any other.
const RESERVED: &[&str] = &[
    "inbox",
    "spam",
    "trash",
    "unread",
    "starred",
    "important",
    "sent",
    "draft",
    "drafts",
    "chat",
    "chats",
    "migrated",
    "todo",
    "todos",
    "buzz",
    "bin",
    "allmail",
    "archive",
    "archived",
    "muted",
    "voicemail",
];

/// Gmail's own mailboxes lie under the one or the other.
const ROOTS: &[&str] = &["[gmail]", "[google mail]"];

/// Stands for a character that no label may have, and behind a name that is Gmail's own.
const SUBSTITUTE: char = '_';

/// The label for a mailbox of this name, `/` between its levels. A `/` within a level of the source's name (where
/// its delimiter is another one) is a level too: a label of Gmail nests at every `/`, and nothing can prevent that.
/// Two names may become one label; a label of its own form stays as it is.
pub fn label(name: &str) -> String {
    let mut levels: Vec<String> = name
        .split('/')
        .map(level)
        .filter(|level| !level.is_empty())
        .collect();
    if let Some(first) = levels.first_mut() {
        if ROOTS.contains(&&*first.to_lowercase()) {
            *first = first.trim_matches(['[', ']']).to_string();
        }
        // Else it could not be told from what is Gmail's own (`\Starred`, docs/gmail.md 4.2).
        if first.starts_with('\\') {
            first.replace_range(..1, "_");
        }
    }
    let mut label: String = levels.join("/").chars().take(LABEL_MAX).collect();
    label.truncate(label.trim_end_matches([' ', '/']).len());
    if label.is_empty() || RESERVED.contains(&&*label.to_lowercase()) {
        label.push(SUBSTITUTE);
    }
    label
}

/// The label that stands for one whose first level is a name of Gmail's own, where Gmail takes that not even as the first
/// of several (whether it does is not known: docs/gmail.md 5). None: its first level is nobody's.
pub fn label_apart(label: &str) -> Option<String> {
    let (first, rest) = label.split_once('/')?;
    let own = RESERVED.contains(&&*first.to_lowercase());
    own.then(|| format!("{first}{SUBSTITUTE}/{rest}"))
}

/// One level: no blanks at either end, none doubled, and nothing that is not to be seen.
fn level(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |c: char| {
        if c == '^' || c.is_control() {
            SUBSTITUTE
        } else {
            c
        }
    };
    words.join(" ").chars().map(plain).collect()
}

/// Are these one label to Gmail, which does not mind the case of letters?
pub fn same_label(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_gmail_refuses_is_written_in_another_way() {
        for (name, told) in [
            ("Work", "Work"),
            ("Work/2024", "Work/2024"),
            ("Entwürfe", "Entwürfe"),
            ("日本語/😀", "日本語/😀"),
            ("a&b \"c\" \\d *%", "a&b \"c\" \\d *%"),
            (" a  b ", "a b"),
            ("a / b", "a/b"),
            ("a\tb\r\nc", "a b c"),
            ("a\u{3000}\u{a0}b", "a b"),
            ("a^b", "a_b"),
            ("a\u{7}b\u{9b}", "a_b_"),
            ("Spam", "Spam_"),
            ("SPAM", "SPAM_"),
            ("inbox", "inbox_"),
            ("Archive", "Archive_"),
            ("todo", "todo_"),
            ("Work/Sent", "Work/Sent"),
            ("Sent/2024", "Sent/2024"),
            ("Sentinel", "Sentinel"),
            ("\\Starred", "_Starred"),
            ("\\\\x", "_\\x"),
            ("[Gmail]", "Gmail"),
            ("[gmail]/Work", "gmail/Work"),
            ("[Google Mail]/Work", "Google Mail/Work"),
            ("[Gmail]x/Work", "[Gmail]x/Work"),
            ("Work/[Gmail]", "Work/[Gmail]"),
            ("a//b", "a/b"),
            ("/a/", "a"),
            ("//", "_"),
            (" ", "_"),
            ("", "_"),
            ("a/ /b", "a/b"),
        ] {
            assert_eq!(label(name), told, "{name:?}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut() {
        assert_eq!(label(&"ä".repeat(225)), "ä".repeat(225));
        assert_eq!(label(&"ä".repeat(226)), "ä".repeat(225));
        // Not behind a blank, nor behind a level.
        assert_eq!(label(&format!("{} b", "a".repeat(224))), "a".repeat(224));
        assert_eq!(label(&format!("{}/b", "a".repeat(224))), "a".repeat(224));
    }

    #[test]
    fn the_case_of_letters_makes_no_other_label() {
        assert!(same_label("Foo", "foo") && same_label("GRÜSSE", "grüsse"));
        assert!(!same_label("Foo", "Fop"));
    }

    fn is_taken(label: &str) -> bool {
        let first = label.split('/').next().unwrap_or_default().to_lowercase();
        let blank = |l: &str| l.is_empty() || l.trim() != l || l.contains("  ");
        !label.split('/').any(blank)
            && !label.contains(|c: char| c == '^' || c.is_control())
            && !label.starts_with('\\')
            && label.chars().count() <= LABEL_MAX
            && !RESERVED.contains(&&*label.to_lowercase())
            && !ROOTS.contains(&&*first)
    }

    proptest! {
        #[test]
        fn whatever_the_name_gmail_takes_the_label(name in any::<String>()) {
            let told = label(&name);
            prop_assert!(is_taken(&told), "{told:?}");
            prop_assert_eq!(label(&told), told);
        }

        #[test]
        fn also_where_it_is_all_oddities(
            name in "([ /^\\\\\\[\\]\t_a]|\\[Gmail\\]|\\[google mail\\]|inbox|Spam){0,40}|[ab/ ]{200,260}"
        ) {
            let told = label(&name);
            prop_assert!(is_taken(&told), "{told:?}");
            prop_assert_eq!(label(&told), told);
        }
    }
}
