//! Figures and texts as people read them in 80 columns.

use textwrap::{Options, WordSplitter};

use crate::error::shown_within;
use crate::text::counted;

/// Columns that every terminal has.
pub const WIDTH: usize = 80;
/// The most characters of one text out of the ledger: anybody may have written into the file.
const TEXT_MAX: usize = 2000;

/// `34.0 MB`: decimal units.
pub fn bytes_text(n: u64) -> String {
    match n {
        0..1000 => counted(n, "byte"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// `12 s`, `3 min`, `5 h`, `12 days`: whole ones.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => counted(seconds / 86_400, "day"),
    }
}

/// A text out of the ledger, which cannot move the cursor.
pub(super) fn safe(text: &str) -> String {
    shown_within(text.as_bytes(), TEXT_MAX)
}

/// Lines of at most 80 columns: the first begins with `first`, the others with `rest`. A word that is
/// longer than a line is broken.
pub fn wrapped(first: &str, rest: &str, text: &str) -> String {
    let options = Options::new(WIDTH)
        .initial_indent(first)
        .subsequent_indent(rest)
        // A command stays in one piece: it may be copied from here.
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(bytes_text(999), "999 bytes");
        assert_eq!(bytes_text(35_651_584), "35.7 MB");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(3599), "59 min");
        assert_eq!(span(86_400), "24 h");
        assert_eq!(span(172_800), "2 days");
    }

    #[test]
    fn no_line_is_longer_than_the_screen() {
        let long = format!("{} and {}", "x".repeat(200), "word ".repeat(40));
        let text = wrapped("  reason     ", "             ", &long);
        assert!(text.lines().count() > 4, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert_eq!(wrapped("", "", ""), "\n");
    }
}
