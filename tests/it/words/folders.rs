//! Every mistake that the rules for mailboxes can hold, and what is said of it.

use imap_to_gmail::config::{Mapping, Since};
use imap_to_gmail::folder::{Listed, Spot};
use serde_json::{Value, json};

use super::config::{EXAMPLE_HINT, accepted, desk, refused, run, with};

const PATTERN_HINT: &str = "write the name as `imap-to-gmail folders` shows it; * stands for anything, % for anything but /";
const LIST_HINT: &str =
    "a list stands in square brackets, also when there is one thing in it: [\"INBOX\"]";
const USE_HINT: &str = "in JSON a backslash is written twice: \"\\\\Sent\"";
const LABEL_HINT: &str =
    "a label is a name like \"old@example.org\"; where messages go says `target`";

#[track_caller]
fn item(value: Value, sentence: &str, hint: &str) {
    let list = json!(["INBOX", value]);
    refused(
        with("folders", list),
        &format!("`folders`: item 2: {sentence}"),
        hint,
    );
}

#[test]
fn lists_are_lists() {
    for key in ["folders", "exclude"] {
        for (value, got) in [
            (json!("INBOX"), "the text \"INBOX\""),
            (json!(null), "null"),
            (json!({"source": "INBOX"}), "an object"),
            (json!(3), "3"),
        ] {
            let sentence =
                format!("`{key}`: got {got}, expected a list like [\"INBOX\", \"Work/*\"]");
            refused(with(key, value), &sentence, LIST_HINT);
        }
        let many = vec![json!("a"); 1001];
        let sentence = format!("`{key}`: got 1001 items, expected at most 1000");
        refused(with(key, many), &sentence, EXAMPLE_HINT);
    }
    refused(
        with("folders", json!([])),
        "`folders`: got an empty list, expected at least one mailbox",
        "without `folders` it is [\"INBOX\"]",
    );
    refused(
        with("exclude", json!(["Work", "inbox"])),
        "`exclude`: it leaves out INBOX, and `folders` names nothing else",
        "then nothing would be copied: name what is wanted in `folders`",
    );
}

#[test]
fn a_pattern_is_a_name_or_a_use() {
    item(
        json!(3),
        "got 3, expected a pattern like \"Work/*\", or an object like {\"source\": \"Work/*\", \"target\": \"Old/*\"}",
        PATTERN_HINT,
    );
    item(json!(""), "got empty text, expected some", EXAMPLE_HINT);
    let uses = "expected a name, \\Sent, \\Drafts, \\Junk, \\Trash or \\Archive";
    item(json!("\\Spam"), &format!("got `\\Spam`, {uses}"), USE_HINT);
    item(
        json!("\\all"),
        &format!("got `\\all`, {uses}"),
        "it shows messages that lie in other mailboxes: name those, or this one as `imap-to-gmail folders` shows it",
    );
    item(
        json!("*".repeat(1001)),
        "got 1001 bytes, expected at most 1000",
        EXAMPLE_HINT,
    );
    refused(
        with("exclude", json!([{"source": "a"}])),
        "`exclude`: item 1: got an object, expected text",
        "write text in quotation marks, also when it is all digits; write numbers without",
    );
}

#[test]
fn an_item_has_its_own_keys() {
    item(json!({"target": "x"}), "`source` is missing", PATTERN_HINT);
    item(
        json!({"source": "x", "lables": []}),
        "unknown key `lables`",
        "did you mean `labels`?",
    );
    item(
        json!({"source": "x", "after_delivery": "keep"}),
        "unknown key `after_delivery`",
        "the keys of an item are source, target, labels, label_found, since, delivery, never_mark_spam",
    );
    item(
        json!({"source": 3}),
        "`source`: got a number, expected text",
        "write text in quotation marks, also when it is all digits; write numbers without",
    );
    let (desk, _lock) = desk();
    let twice = "{\"folders\": [{\"source\": \"a\",\n  \"source\": \"b\"}]}";
    let ran = run(&desk, twice);
    let sentence = "error: config.json: at line 2, column 3: `source` is given twice\n";
    assert!(ran.err.starts_with(sentence), "{ran:?}");
}

#[test]
fn a_target_is_a_place_or_a_label() {
    let hint = "\"archive\" means no INBOX, All Mail alone; without `target` a mailbox keeps its name as a label, and INBOX, Sent, Spam and the like go to Gmail's own";
    item(
        json!({"source": "x", "target": "\\Spam"}),
        "`target`: got `\\Spam`, expected \"INBOX\", \"archive\", a label, \\Sent, \\Drafts, \\Junk, \\Trash or \\Archive",
        hint,
    );
    for (source, target) in [("Work", "Old/*"), ("\\Sent", "Old/*"), ("Work/*", "*/*")] {
        item(
            json!({"source": source, "target": target}),
            &format!(
                "`target`: got `{target}`, expected no more * than there are * and % in `source`"
            ),
            "each * in `target` stands for what one of those matched",
        );
    }
    item(
        json!({"source": "x", "target": "a\u{7}"}),
        "`target`: got text with a control character in it, expected none",
        "in JSON a backslash and the letter after it stand for something else: write \\\\ for one that is meant, and \\\" for a quotation mark within text",
    );
}

#[test]
fn labels_are_names() {
    item(
        json!({"source": "x", "labels": "old"}),
        "`labels`: got the text \"old\", expected a list like [\"old mail\"]",
        LIST_HINT,
    );
    for own in ["\\Starred", "inbox"] {
        let sentence = format!("got `{own}`, which is Gmail's own, expected a label");
        item(
            json!({"source": "x", "labels": ["a", own]}),
            &format!("`labels`: {sentence}"),
            LABEL_HINT,
        );
        refused(
            with("label", own),
            &format!("`label`: {sentence}"),
            LABEL_HINT,
        );
    }
    refused(
        with("label", json!(["old"])),
        "`label`: got a list, expected text",
        "write text in quotation marks, also when it is all digits; write numbers without",
    );
    refused(
        with("label", "x".repeat(1001)),
        "`label`: got 1001 bytes, expected a label of at most 225 characters",
        LABEL_HINT,
    );
}

#[test]
fn what_is_so_or_not_is_true_or_false() {
    refused(
        with("skip_inbox", "true"),
        "`skip_inbox`: got the text \"true\", expected true or false",
        "write it without quotation marks",
    );
    item(
        json!({"source": "x", "label_found": 1}),
        "`label_found`: got 1, expected true or false",
        "write it without quotation marks",
    );
}

#[test]
fn a_folder_has_a_since_of_its_own() {
    let expected =
        "expected days like \"30d\" (at most 36500), a date like \"2024-01-31\", or \"all\"";
    let without = "without it the `since` of the whole configuration holds";
    item(
        json!({"source": "x", "since": "always"}),
        &format!("`since`: got `always`, {expected}"),
        without,
    );
    item(
        json!({"source": "x", "since": 30}),
        &format!("`since`: got the number 30, {expected}"),
        "for so many days write \"30d\"",
    );
    item(
        json!({"source": "x", "since": "2999-01-01"}),
        "`since`: got 2999-01-01, which lies in the future, expected a day that has begun",
        without,
    );
    let config = accepted(with(
        "folders",
        json!([{"source": "inbox", "since": "all"}]),
    ));
    let Mapping::Copied {
        destination, since, ..
    } = config.rules.mapping(&Listed::inbox())
    else {
        panic!("INBOX is left out")
    };
    assert_eq!((destination.spot, since), (Spot::Inbox, Some(Since::All)));
    assert_eq!(config.since, Since::Days(7));
}
