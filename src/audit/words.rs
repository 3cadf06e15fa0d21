//! What each class means, and what a person does about it, in words. Not for the page around them (`text`).

use super::class::Class;

/// What a class means, as it stands behind a number of messages.
pub(super) fn meaning(class: Class) -> &'static str {
    match class {
        Class::Delivered => "in Gmail",
        Class::LeftSource => "in Gmail, and no longer at the source",
        Class::InSpam => "in Gmail's Spam",
        Class::InTrash => "in Gmail's Trash: somebody threw it away there",
        Class::Older => "older than `since` asks for: not copied",
        Class::LeftOut => "in folders that the configuration leaves out: not copied",
        Class::Skipped => "given up by you (`retry-failed --skip`)",
        Class::Gone => "left the source before it was copied",
        Class::GoneFromBoth => "was in Gmail, and is on neither side any more",
        Class::Unrecorded => "new at the source: no run has recorded it yet",
        Class::Open => "waits, or is on its way",
        Class::Renumbered => "in a folder that has new UIDs: a run has to match it first",
        Class::FolderGone => "not delivered, and its folder is no longer at the source",
        Class::Failed => "failed",
        Class::Deleted => "was seen in Gmail, and is nowhere there now, not in Trash either",
        Class::Lost => "Gmail said yes to it, nobody saw it arrive, and it is nowhere",
        Class::VoucherGone => "not sent, because Gmail had a copy, which is nowhere now",
        Class::OtherSize => "a message of its name is in Gmail, with another size",
        Class::OutOfSight => "not in what we may look into of Gmail",
    }
}

/// What a person does about it; None where there is nothing to do.
pub(super) fn advice(class: Class) -> Option<&'static str> {
    Some(match class {
        Class::Delivered
        | Class::LeftSource
        | Class::Older
        | Class::LeftOut
        | Class::Skipped
        | Class::Gone
        | Class::GoneFromBoth => return None,
        Class::InSpam => "look into Spam: Gmail deletes what has been there for 30 days",
        Class::InTrash => {
            "if it is to be kept, take it out of Trash in Gmail: Gmail deletes what has been there for 30 days"
        }
        Class::Unrecorded => {
            "a run records it with its next look, within a few minutes; is one running? `imap-to-gmail status` says so"
        }
        Class::Open => "a run delivers it, or has it fail with a reason; audit again then",
        Class::Renumbered => "a run matches it with what was delivered before; audit again then",
        Class::FolderGone => {
            "is the folder meant to be gone? If it comes back, a run goes on with it; if not, a run gives up what waited there"
        }
        Class::Failed => {
            "`imap-to-gmail status --failed` says why; `imap-to-gmail retry-failed` gives another try, with `--skip` it is given up"
        }
        Class::Deleted => {
            "if you deleted it for good, nothing need be done; if not, `--repair` with its id, or `--repair deleted` for all of them, has it sent again"
        }
        Class::Lost => "`--repair lost` has a run look for it once more, and send it again",
        Class::VoucherGone => {
            "if you deleted that copy, nothing need be done; if not, `--repair` with its id, or `--repair voucher_gone` for all of them, has it sent"
        }
        Class::OtherSize => {
            "compare the two by eye, before you delete anything at the source: a list copy and a direct copy may share a name"
        }
        Class::OutOfSight => {
            "in Gmail's settings, under Labels, tick \"Show in IMAP\" for All Mail, Spam and Trash; and under Forwarding and POP/IMAP, let there be no limit to the number of messages in a folder. Then audit again"
        }
    })
}

/// The same of an account that is none of Gmail's.
pub(super) fn of(words: &str, gmail: bool) -> String {
    if gmail {
        return words.into();
    }
    words
        .replace("in Gmail's settings, under Labels, tick \"Show in IMAP\" for All Mail, Spam and Trash; and under Forwarding and POP/IMAP, let there be no limit to the number of messages in a folder. Then audit again", "open its folders to this account, then audit again")
        .replace(": Gmail deletes what has been there for 30 days", "")
        .replace("Gmail", "the target")
}
