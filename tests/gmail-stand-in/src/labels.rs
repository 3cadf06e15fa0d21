//! Which names Gmail takes for a label, and which two of them are one (docs/gmail.md 5.1).

/// Names that are Gmail's own, in any case.
const RESERVED: [&str; 20] = [
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
];
/// Characters that a name may have, its slashes included.
const LONGEST: usize = 225;

const BLANKS: &str = "NO [CANNOT] Folder contains excess whitespace (Failure)";
const EMPTY: &str = "NO [CANNOT] No folder name given. (Failure)";
const NOT_ALLOWED: &str = "NO Folder name is not allowed. (Failure)";

/// What making a label of this name is answered, where it is refused. Those that exist are not looked at. `nowhere`: a name
/// of Gmail's is no first level of a longer one either.
pub(crate) fn refused(name: &str, nowhere: bool) -> Option<&'static str> {
    let levels: Vec<&str> = name.split('/').collect();
    if levels.contains(&"") {
        return Some(EMPTY);
    }
    let blank = |level: &&str| level.trim_matches(' ') != *level || level.contains("  ");
    if levels.iter().any(blank) {
        return Some(BLANKS);
    }
    let first = levels[0].to_lowercase();
    let own = levels.len() == 1 || nowhere;
    let reserved = own && RESERVED.contains(&&*first);
    let reserved = reserved || first == "[gmail]" || first == "[google mail]";
    let too_long = name.chars().count() > LONGEST;
    (reserved || too_long || name.contains('^')).then_some(NOT_ALLOWED)
}

/// Whether two names are one label: case does not count.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_what_is_not() {
        let long = "ä".repeat(LONGEST);
        for name in [
            "Work",
            "Work/Sub",
            "a b",
            "[Imap]/Sent",
            "Inboxes",
            "Work/Sent",
            "INBOX/Sub",
            "sent/2019",
            "日本語",
            "😀",
            &long,
        ] {
            assert_eq!(refused(name, false), None, "{name}");
        }
        for name in [" a", "a ", "a  b", "a/ b", "a /b"] {
            assert_eq!(refused(name, false), Some(BLANKS), "{name}");
        }
        for name in ["", "/", "a//b", "/a", "a/"] {
            assert_eq!(refused(name, false), Some(EMPTY), "{name}");
        }
        let longer = format!("{long}x");
        for name in ["a^b", "Inbox", "ToDo", "[Gmail]/Foo", &longer] {
            assert_eq!(refused(name, false), Some(NOT_ALLOWED), "{name}");
        }
        for name in ["INBOX/Sub", "sent/2019"] {
            assert_eq!(refused(name, true), Some(NOT_ALLOWED), "{name}");
        }
        assert_eq!(refused("Work/Sent", true), None);
        assert!(same("Übung", "üBUNG") && !same("a", "b"));
    }
}
