//! Text for people: counts, sizes and times as they read them, in lines that fit. And text from people: what
//! their editors and shells do to a file or an argument.

use chrono::{DateTime, Local, TimeZone, Utc};
use textwrap::WordSeparator;
use textwrap::core::{Word, display_width};
use textwrap::wrap_algorithms::wrap_first_fit;

/// The error and the hint for a file that `plain` does not accept.
pub const UTF_16: &str = "is UTF-16, expected UTF-8";
pub const UTF_16_HINT: &str = "in Windows' Notepad: \"Save as\", \"Encoding\", \"UTF-8\"; or `iconv -f UTF-16 -t UTF-8 OLD >NEW`, with another name for NEW";

/// `12,481`
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// `1 message`, `12,481 messages`, `3 mailboxes`
pub fn counted(n: impl TryInto<u64>, one: &str) -> String {
    let ending = if one.ends_with('x') { "es" } else { "s" };
    match n.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        n => format!("{} {one}{ending}", thousands(n)),
    }
}

/// `2026-11-28 17:20:06 UTC`
pub fn moment(t: DateTime<Utc>) -> String {
    format!("{} UTC", t.format("%Y-%m-%d %H:%M:%S"))
}

/// A time for people: local time, and UTC where that differs. `2026-11-28 18:20 (17:20 UTC)`, or
/// `2026-11-28 17:20 UTC`.
pub fn minute(t: DateTime<Utc>) -> String {
    minute_at(t, &t.with_timezone(&Local))
}

fn minute_at<Z: TimeZone>(t: DateTime<Utc>, here: &DateTime<Z>) -> String {
    let (local, utc) = (here.naive_local(), t.naive_utc());
    if local == utc {
        return format!("{} UTC", utc.format("%Y-%m-%d %H:%M"));
    }
    format!(
        "{} ({} UTC)",
        local.format("%Y-%m-%d %H:%M"),
        utc.format("%H:%M")
    )
}

/// Columns that every terminal has.
pub const WIDTH: usize = 80;
/// `34.0 MB`: decimal units.
pub fn bytes_text(n: u64) -> String {
    match n {
        0..1000 => counted(n, "byte"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// `12 s`, `3 min`, `5 h`, `12 days`, `4 months`, `2 years`: whole units, rounded down.
pub fn span(seconds: u64) -> String {
    match (seconds, seconds / 86_400) {
        (0..60, _) => format!("{seconds} s"),
        (60..3600, _) => format!("{} min", seconds / 60),
        (3600..172_800, _) => format!("{} h", seconds / 3600),
        (_, days @ ..61) => counted(days, "day"),
        (_, days @ ..731) => counted(days * 12 / 365, "month"),
        (_, days) => counted(days / 365, "year"),
    }
}

/// A word of a command line, quoted for the shell where it must be.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Text of several paragraphs, in lines of at most so many columns.
pub struct Page {
    width: usize,
    text: String,
}

impl Page {
    pub fn new(width: usize) -> Page {
        Page {
            width,
            text: String::new(),
        }
    }

    /// One paragraph, as `wrapped` makes it.
    pub fn add(&mut self, first: &str, rest: &str, text: &str) {
        self.text += &wrapped(self.width, first, rest, text);
    }

    /// One line as it is, however long.
    pub fn line(&mut self, text: &str) {
        self.text += text;
        self.text.push('\n');
    }

    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    pub fn text(self) -> String {
        self.text
    }
}

/// Lines of at most `width` columns: the first begins with `first`, the others with `rest`. A word that
/// is longer than a line is broken, but for a command in backticks: it stays in one piece, on a line of
/// its own if need be, because it is copied from here.
pub fn wrapped(width: usize, first: &str, rest: &str, text: &str) -> String {
    let glued = glued(text);
    let room = |indent: &str| width.saturating_sub(display_width(indent)).max(1);
    let rooms = [room(first), room(rest)];
    let words: Vec<Word<'_>> = WordSeparator::AsciiSpace
        .find_words(&glued)
        .flat_map(|word| {
            if word.word.contains(GLUE) {
                vec![word]
            } else {
                word.break_apart(rooms[0].min(rooms[1])).collect()
            }
        })
        .collect();
    let rooms = rooms.map(|room| room as f64);
    let mut out = String::new();
    for (n, line) in wrap_first_fit(&words, &rooms).into_iter().enumerate() {
        out += if n == 0 { first } else { rest };
        for (i, word) in line.iter().enumerate() {
            out += word.word;
            if i + 1 < line.len() {
                out += word.whitespace;
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    if out.is_empty() {
        out.push('\n');
    }
    out.replace(GLUE, " ")
}

/// A placeholder for the blanks within a command, where no line may be broken.
const GLUE: char = '\u{a0}';

fn glued(text: &str) -> String {
    let mut inside = false;
    let pairs = text.matches('`').count() / 2 * 2;
    let mut seen = 0;
    text.chars()
        .map(|c| {
            if c == '`' && seen < pairs {
                seen += 1;
                inside = !inside;
            }
            if inside && c == ' ' { GLUE } else { c }
        })
        .collect()
}

/// The bytes of a text file without the mark (U+FEFF) that some editors put at its beginning. None for UTF-16,
/// which PowerShell and old editors write: a text in UTF-8 has no NUL among its first bytes.
pub fn plain(bytes: &[u8]) -> Option<&[u8]> {
    let utf_16 = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    };
    (!utf_16).then(|| bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(counted(0_u64, "message"), "0 messages");
        assert_eq!(counted(1_usize, "day"), "1 day");
        assert_eq!(counted(12_481_u32, "message"), "12,481 messages");
    }

    #[test]
    fn what_stands_around_a_text_is_no_part_of_it() {
        assert_eq!(plain(b""), Some(&b""[..]));
        assert_eq!(plain(b"x"), Some(&b"x"[..]));
        assert_eq!(plain(b"\xef\xbb\xbfx"), Some(&b"x"[..]));
        assert_eq!(plain(b"\xef\xbb"), Some(&b"\xef\xbb"[..]));
        for wide in [&b"\xff\xfex\0"[..], b"\xfe\xff\0x", b"x\0y\0", b"\0x\0y"] {
            assert_eq!(plain(wide), None);
        }
    }

    #[test]
    fn a_moment_is_told_by_the_clock_of_the_place() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a date");
        for (text, told) in [
            ("2026-11-28T17:20:59+00:00", "2026-11-28 17:20 UTC"),
            ("2026-11-28T23:20:00+01:00", "2026-11-28 23:20 (22:20 UTC)"),
            ("2026-11-29T00:20:00+05:30", "2026-11-29 00:20 (18:50 UTC)"),
        ] {
            assert_eq!(minute_at(at(text).to_utc(), &at(text)), told);
        }
    }

    #[test]
    fn a_file_is_named_as_a_shell_must_be_given_it() {
        for (typed, word) in [
            ("config.json", "config.json"),
            ("/etc/mail/größer.json", "/etc/mail/größer.json"),
            ("my mail.json", "'my mail.json'"),
            ("it's.json", r"'it'\''s.json'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(typed), word);
        }
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(bytes_text(999), "999 bytes");
        assert_eq!(bytes_text(35_651_584), "35.7 MB");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(3599), "59 min");
        assert_eq!(span(86_400), "24 h");
        assert_eq!(span(172_800), "2 days");
        for (days, told) in [
            (60, "60 days"),
            (61, "2 months"),
            (122, "4 months"),
            (365, "12 months"),
            (730, "24 months"),
            (731, "2 years"),
            (20_454, "56 years"),
        ] {
            assert_eq!(span(days * 86_400 + 86_399), told);
        }
    }

    #[test]
    fn a_command_stays_in_one_piece() {
        let text = "words before it, `imap-to-gmail auth --config config.json` and after";
        assert_eq!(
            wrapped(30, "> ", "  ", text),
            "> words before it,\n  `imap-to-gmail auth --config config.json`\n  and after\n"
        );
        // A single backtick opens nothing.
        assert_eq!(wrapped(12, "", "", "a ` b c d e f"), "a ` b c d e\nf\n");
    }

    #[test]
    fn no_line_is_longer_than_the_screen() {
        let long = format!("{} and {}", "x".repeat(200), "word ".repeat(40));
        let text = wrapped(WIDTH, "  reason     ", "             ", &long);
        assert!(text.lines().count() > 4, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert_eq!(wrapped(WIDTH, "", "", ""), "\n");
    }
}
