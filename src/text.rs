//! Text for people: counts and moments as they read them. And text from people: what their editors
//! and shells put in front of it, or make of it.

use chrono::{DateTime, Utc};

/// What `plain` says no to.
pub const UTF_16: &str = "is UTF-16, expected UTF-8";
pub const UTF_16_HINT: &str = "save it as UTF-8 (in Windows' Notepad: \"Save as\", \"Encoding\"; in PowerShell: `Set-Content -Encoding utf8`)";

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

/// `1 message`, `12,481 messages`
pub fn counted(n: impl TryInto<u64>, one: &str) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        n => format!("{} {one}s", thousands(n)),
    }
}

/// `2026-11-28 17:20:06 UTC`
pub fn moment(t: DateTime<Utc>) -> String {
    format!("{} UTC", t.format("%Y-%m-%d %H:%M:%S"))
}

/// The bytes of a text file without the mark (U+FEFF) that some editors begin it with. None for
/// UTF-16, which PowerShell and old editors write: no text in UTF-8 has a NUL there.
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
}
