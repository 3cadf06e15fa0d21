//! `folders` for a screen: a table, and under it what may be wrong. Not for what becomes of one mailbox (`row`).

use textwrap::core::display_width;

use super::{Holds, Survey};
use crate::error::shown;
use crate::text::{Page, counted, minute, thousands};

/// Longer names have the rest of their row in lines of its own.
const NAME_WIDTH: usize = 24;
/// Where the names begin.
const INDENT: usize = 26;

impl Survey {
    /// For a screen of so many columns.
    pub fn text(&self, columns: usize) -> String {
        let mut page = Page::new(columns);
        page.add("", "", &self.heading());
        page.blank();
        let names = self.all.iter().map(|m| display_width(&m.name()));
        let width = names.max().unwrap_or_default().clamp(8, NAME_WIDTH);
        page.line(&format!(
            "  messages   since then   {:<width$}  becomes",
            "mailbox"
        ));
        let indent = " ".repeat(INDENT);
        for mailbox in &self.all {
            let (all, since) = match mailbox.holds {
                Holds::Messages { all, since } => (thousands(all), thousands(since)),
                Holds::Nothing => ("-".into(), "-".into()),
                Holds::Unknown(_) => ("?".into(), "?".into()),
            };
            let name = mailbox.name();
            let becomes = mailbox.becomes(&self.rules);
            let begin = format!("{all:>10}   {since:>10}   ");
            let behind = " ".repeat(INDENT + width + 2);
            match width.checked_sub(display_width(&name)) {
                Some(room) => {
                    let first = format!("{begin}{name}{}  ", " ".repeat(room));
                    page.add(&first, &behind, &becomes);
                }
                None => {
                    page.line(&format!("{begin}{name}"));
                    page.add(&behind, &behind, &becomes);
                }
            }
            if let Holds::Unknown(why) = &mailbox.holds {
                page.add(&indent, &indent, why);
            }
        }
        match self.unreadable {
            0 => {}
            1 => page.line("and 1 whose name cannot be read"),
            n => page.line(&format!(
                "and {} whose names cannot be read",
                thousands(n as u64)
            )),
        }
        for note in &self.doubts {
            page.blank();
            page.add("", "", &note.message);
            page.add("", "", &format!("hint: {}", note.hint));
        }
        page.text()
    }

    fn heading(&self) -> String {
        let since = match self.since {
            Some(since) => format!(
                "`since` takes what came from {} on (counted by whole days here)",
                minute(since)
            ),
            None => "`since` takes all of it".into(),
        };
        let copied = self.all.iter().filter(|m| m.is_copied()).count();
        let copied = if self.rules.inbox_alone() {
            "INBOX alone is copied".to_string()
        } else if copied == 1 {
            "1 of them is copied".to_string()
        } else {
            format!("{} of them are copied", thousands(copied as u64))
        };
        format!(
            "{} has {}. {copied}, to {}; {since}.",
            shown(self.source.as_bytes()),
            counted(self.all.len() + self.unreadable, "mailbox"),
            shown(self.target.as_bytes()),
        )
    }
}
