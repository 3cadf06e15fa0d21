//! An audit for a screen: whether all is accounted for, the totals, what to do, and a table of what is not plainly there. Not
//! for what was found (`report`).

use textwrap::core::display_width;

use super::class::{Class, Standing};
use super::report::{Audit, Audited, Difference};
use super::words::{advice, meaning, of};
use crate::error::{shown, shown_within};
use crate::text::{Page, bytes_text, counted, minute, thousands};

/// Messages that the table has unless all are asked for.
const LISTED: usize = 50;
/// Longer names of folders and Message-IDs are cut in the table.
const FOLDER_WIDTH: usize = 24;
const ID_MAX: usize = 60;
/// Where the words begin behind a number.
const INDENT: usize = 12;

impl Audit {
    /// For a screen of so many columns. `all`: each message that is not plainly there, however many.
    pub fn text(&self, columns: usize, all: bool) -> String {
        let mut page = Page::new(columns);
        page.add("", "", &self.heading());
        page.blank();
        let standings = [
            (Standing::Accounted, "accounted for:"),
            (Standing::Open, "a run sees to these:"),
            (Standing::Person, "look at these:"),
        ];
        for (standing, title) in standings {
            let some = Class::ALL.into_iter();
            let some = some.filter(|c| c.standing() == standing && self.totals.of(*c) > 0);
            let mut some = some.peekable();
            if some.peek().is_some() {
                page.line(title);
            }
            some.for_each(|class| self.add_class(&mut page, class));
        }
        if self.totals == Default::default() {
            page.line(&format!("{:>10}  messages at the source", 0));
        }
        self.add_folders(&mut page);
        if !self.differences.is_empty() {
            page.blank();
            self.add_table(&mut page, all);
        }
        page.text()
    }

    /// How many there are, what that means, and what to do.
    fn add_class(&self, page: &mut Page, class: Class) {
        let count = thousands(self.totals.of(class));
        let indent = " ".repeat(INDENT);
        let words = of(meaning(class), self.gmail);
        page.add(&format!("{count:>10}  "), &indent, &words);
        if let Some(advice) = advice(class) {
            let advice = of(advice, self.gmail);
            page.add(&indent, &indent, &format!("{}: {advice}", class.name()));
        }
    }

    fn heading(&self) -> String {
        let [source, target] =
            [&self.source, &self.target].map(|account| shown(account.as_bytes()));
        let untold = self.folders.iter().filter(|f| f.trouble.is_some()).count();
        let (open, person) = (
            self.totals.standing(Standing::Open),
            self.totals.standing(Standing::Person),
        );
        let verdict = if untold > 0 {
            format!(
                "NOT KNOWN: {} of the source could not be looked into",
                counted(untold, "folder")
            )
        } else if person > 0 {
            let are = if open + person == 1 { "is" } else { "are" };
            let waits = match open {
                0 => String::new(),
                open => format!(" ({} of them a run sees to)", thousands(open)),
            };
            format!(
                "NOT ACCOUNTED FOR: {} {are} not where they should be{waits}",
                counted(open + person, "message")
            )
        } else if open > 0 {
            format!(
                "NOT YET: a run has still to see to {}",
                counted(open, "message")
            )
        } else {
            "ALL ACCOUNTED FOR".into()
        };
        format!(
            "{verdict}. {source} holds {} in the folders that are copied into {target}; audited {}.",
            counted(self.messages(), "message"),
            minute(self.at)
        )
    }

    /// What is left out, gone, or could not be looked into.
    fn add_folders(&self, page: &mut Page) {
        let named = |wanted: &dyn Fn(&Audited) -> bool| {
            let some = self.folders.iter().filter(|folder| wanted(folder));
            let names = some.map(|folder| match folder.messages {
                Some(messages) => format!("{} ({})", folder.name, thousands(messages)),
                None => folder.name.clone(),
            });
            names.collect::<Vec<_>>()
        };
        for (what, names) in [
            (
                "left out: ",
                named(&|f| f.left_out && f.messages != Some(0)),
            ),
            ("no longer at the source: ", named(&|f| f.gone)),
        ] {
            if !names.is_empty() {
                page.blank();
                page.add(what, "  ", &names.join(", "));
            }
        }
        for folder in &self.folders {
            if let Some(e) = &folder.trouble {
                page.blank();
                let said = shown(e.message.as_bytes());
                page.add(&format!("{}: ", folder.name), "  ", &said);
                if let Some(hint) = &e.hint {
                    page.add("  ", "  ", &format!("hint: {hint}"));
                }
            }
        }
    }

    fn add_table(&self, page: &mut Page, all: bool) {
        let most = if all { usize::MAX } else { LISTED };
        let some = &self.differences[..self.differences.len().min(most)];
        let names = some
            .iter()
            .map(|d| shown_within(self.folders[d.folder].name.as_bytes(), FOLDER_WIDTH));
        let names: Vec<String> = names.collect();
        let width = names.iter().map(|name| display_width(name)).max();
        let width = width.unwrap_or_default().max("folder".len());
        page.line(&format!(
            "{:>8}  {:<14}  {:<16}  {:>12}  {:<width$}  Message-ID",
            "id", "class", "date (UTC)", "size", "folder"
        ));
        for (difference, folder) in some.iter().zip(names) {
            page.line(&line(difference, &folder, width));
        }
        let more = self.differences.len() - some.len();
        if more > 0 {
            page.blank();
            page.add(
                "",
                "",
                &format!(
                    "and {}: `--all` lists each, and so does `--json`",
                    counted(more, "more message")
                )
                .replace("more messages", "more"),
            );
        }
    }
}

fn line(difference: &Difference, folder: &str, width: usize) -> String {
    let id = difference.row.map_or("-".into(), |row| row.to_string());
    let date = difference
        .date
        .map_or("-".into(), |date| date.format("%Y-%m-%d %H:%M").to_string());
    let size = difference.size.map_or("-".into(), bytes_text);
    let room = " ".repeat(width.saturating_sub(display_width(folder)));
    let name = difference.message_id.as_ref();
    let name = name.map_or("-".into(), |id| shown_within(id.as_bytes(), ID_MAX));
    format!(
        "{id:>8}  {:<14}  {date:<16}  {size:>12}  {folder}{room}  {name}",
        difference.class.name()
    )
}
