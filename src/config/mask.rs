//! Keeps secrets out of everything that is shown of a server's words: some servers echo the command
//! that they refuse. Not for what must be kept out of the ledger: that never holds a secret.
//!
//! A secret that a server repeats in pieces shorter than [`PIECE_MIN`] is not recognised. A secret of fewer
//! than [`WORD_MAX`] characters is a part of many words, so it is masked only where it stands alone: as an
//! argument, between quotation marks, as a word of a sentence. Its Base64, alone or with the user's name as a
//! sign-in sends it, is masked everywhere, as that of any other secret.

use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Secret;

/// A piece of a secret is masked if it is at least this long; a shorter secret is masked as a whole.
const PIECE_MIN: usize = 6;
/// A shorter secret is masked only where it stands alone: "a" is in most words.
const WORD_MAX: usize = 4;

/// Secrets, in each form in which a server may repeat them.
#[derive(Clone, Default)]
pub struct Masks(Vec<Secret<Vec<u8>>>);

impl Masks {
    /// For a password or token, and the SASL response that holds it, if one does.
    pub fn new(secret: &str, response: &[u8]) -> Masks {
        let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
        let mut forms: Vec<String> = vec![
            secret.into(),
            quoted,
            STANDARD.encode(secret),
            STANDARD.encode(response),
        ];
        let encoded = [
            percent_encoded(secret, true),
            percent_encoded(secret, false),
            form_encoded(secret, true),
            form_encoded(secret, false),
        ];
        // The Base64 of a longer text that holds the secret.
        let derived: Vec<String> = iter::once(secret)
            .chain(encoded.iter().map(String::as_str))
            .flat_map(|text| (0..3).map(move |shift| within_base64(text, shift)))
            .collect();
        // Of a short secret only a few characters are certain there, and many words contain them.
        forms.extend(derived.into_iter().filter(|form| form.len() >= PIECE_MIN));
        forms.extend(encoded);
        // Base64 for addresses (RFC 4648 5).
        let url_safe: Vec<String> = forms[2..]
            .iter()
            .filter(|form| form.contains(['+', '/']))
            .map(|form| form.replace('+', "-").replace('/', "_"))
            .collect();
        forms.extend(url_safe);
        forms.retain(|form| !form.is_empty());
        forms.sort_unstable();
        forms.dedup();
        Masks(
            forms
                .into_iter()
                .map(|form| Secret::new(form.into_bytes()))
                .collect(),
        )
    }

    /// The masks of both.
    #[must_use]
    pub fn and(mut self, others: Masks) -> Masks {
        self.0.extend(others.0);
        self
    }

    /// `text` with every piece of a secret replaced by `***`.
    pub fn apply(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_string();
        }
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            match self.0.iter().map(|s| piece_at(s.reveal(), bytes, at)).max() {
                Some(len) if len > 0 => {
                    out.extend_from_slice(b"***");
                    at += len;
                }
                _ => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The part of a Base64 text that the secret alone decides, where `shift` (modulo 3) unknown bytes come
/// before it.
fn within_base64(secret: &str, shift: usize) -> String {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(secret.as_bytes());
    let text = STANDARD_NO_PAD.encode(&bytes);
    let certain = (shift * 8).div_ceil(6)..bytes.len() * 8 / 6;
    // Of a very short secret no character is certain: the range is then empty or none at all.
    text.get(certain).unwrap_or_default().to_string()
}

/// Encoded as in an address (RFC 3986 2.1).
fn percent_encoded(secret: &str, upper: bool) -> String {
    encoded(secret, b"-._~", upper)
}

/// Encoded as in a form (application/x-www-form-urlencoded).
fn form_encoded(secret: &str, upper: bool) -> String {
    encoded(secret, b"*-._", upper).replace("%20", "+")
}

fn encoded(secret: &str, kept: &[u8], upper: bool) -> String {
    let mut out = String::new();
    for &b in secret.as_bytes() {
        match b {
            b if b.is_ascii_alphanumeric() || kept.contains(&b) => out.push(b.into()),
            b if upper => out.push_str(&format!("%{b:02X}")),
            b => out.push_str(&format!("%{b:02x}")),
        }
    }
    out
}

/// How many bytes of `text` from `at` on are to be masked because of this secret.
fn piece_at(secret: &[u8], text: &[u8], at: usize) -> usize {
    let found = piece_of(secret, &text[at..]);
    let within_word = |neighbour: Option<&u8>| {
        neighbour.is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii() || b"_-".contains(b))
    };
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let alone = !within_word(before) && !within_word(text.get(at + found));
    if secret.len() < WORD_MAX && !alone {
        0
    } else {
        found
    }
}

/// How many bytes at the start of `text` are a piece of `secret` that is worth masking, else 0.
fn piece_of(secret: &[u8], text: &[u8]) -> usize {
    let least = secret.len().min(PIECE_MIN);
    if text.len() < least {
        return 0;
    }
    secret
        .windows(least)
        .enumerate()
        .filter(|(_, piece)| text.starts_with(piece))
        .map(|(i, _)| {
            secret[i..]
                .iter()
                .zip(text)
                .take_while(|(a, b)| a == b)
                .count()
        })
        .max()
        .unwrap_or(0)
}

/// An address may come with a password in it: `imaps://user:password@host`.
pub(super) fn without_credentials(host: &str) -> String {
    let user = host.split_once("://").map_or(host, |(_, rest)| rest);
    match user.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("(credentials)@{host}"),
        _ => host.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_masked_whole_or_cut_short_in_clear_and_base64() {
        let response = b"\0user\0pa\"ss word!";
        let masks = Masks::new("pa\"ss word!", response);
        for echo in [
            "NO pa\"ss word! is wrong".to_string(),
            "BAD LOGIN user \"pa\\\"ss word!\"".to_string(),
            format!("BAD AUTHENTICATE PLAIN {}", STANDARD.encode(response)),
            format!(
                "BAD AUTHENTICATE PLAIN {}",
                &STANDARD.encode(response)[..16]
            ),
            format!("NO {}", STANDARD.encode("pa\"ss word!")),
        ] {
            let shown = masks.apply(&echo);
            assert!(shown.contains("***"), "{shown}");
            assert!(
                !shown.contains("ss word") && !shown.contains(&STANDARD.encode(response)[8..16]),
                "{shown}"
            );
        }
        assert_eq!(
            masks.apply("NO [ALERT] nothing here"),
            "NO [ALERT] nothing here"
        );
        assert_eq!(Masks::new("pw", b"x").apply("a pw b"), "a *** b");
        assert_eq!(Masks::default().apply("größe"), "größe");
    }

    #[test]
    fn a_very_short_secret_is_masked_where_it_stands_by_itself() {
        for (secret, said, shown) in [
            ("a", "NO mailbox has a quota", "NO mailbox has *** quota"),
            ("a", "BAD LOGIN ann a", "BAD LOGIN ann ***"),
            (
                "a",
                "BAD LOGIN \"ann\" \"a\"\r\n",
                "BAD LOGIN \"ann\" \"***\"\r\n",
            ),
            ("a", "imaps://ann:a@host/", "imaps://ann:***@host/"),
            (
                "the",
                "NO there is another, other than them",
                "NO there is another, other than them",
            ),
            ("the", "password=the&user=ann", "password=***&user=ann"),
            (
                "1",
                "OK 11 messages, UID 21, 2021-11-11",
                "OK 11 messages, UID 21, 2021-11-11",
            ),
            ("ö", "größer schön ö", "größer schön ***"),
            ("\"", "LOGIN ann \"\\\"\"", "LOGIN ann *********"),
            ("a b", "got a%20b, a+b, a b", "got ***, ***, ***"),
        ] {
            assert_eq!(Masks::new(secret, b"").apply(said), shown, "{secret}");
        }
        for secret in ["a", "ab", "the"] {
            let response = format!("\0ann\0{secret}");
            let bearer = format!("user=ann\x01auth=Bearer {secret}\x01\x01");
            for response in [response, bearer] {
                let masks = Masks::new(secret, response.as_bytes());
                for text in [STANDARD.encode(&response), STANDARD.encode(secret)] {
                    assert_eq!(masks.apply(&format!("x{text}x")), "x***x");
                }
            }
        }
        // A long one is masked within words too, even when a short one is masked as well.
        let both = Masks::new("the", b"").and(Masks::new("secret", b""));
        assert_eq!(both.apply("othersecretly the"), "other***ly ***");
    }

    #[test]
    fn a_secret_is_known_wherever_it_stands_in_base64_and_in_addresses() {
        let secret = "a~b>c?d \u{ff}long+one/with?everything>";
        let masks = Masks::new(secret, b"").and(Masks::new("another", b""));
        for before in ["", "x", "xy", "xyz", "user=me auth=Bearer "] {
            for after in ["", "z", "zz", " host=elsewhere"] {
                let text = format!("{before}{secret}{after}");
                for engine in [&STANDARD, &base64::engine::general_purpose::URL_SAFE] {
                    let shown = masks.apply(&engine.encode(&text));
                    let masked = shown.matches("***").count();
                    assert_eq!(masked, 1, "{shown}");
                    // The neighbours share a character at either end.
                    let left = shown.len() - 3;
                    assert!(
                        left <= engine.encode(before).len() + engine.encode(after).len() + 4,
                        "{shown}"
                    );
                }
            }
        }
        for upper in [false, true] {
            for encoded in [percent_encoded(secret, upper), form_encoded(secret, upper)] {
                let shown = masks.apply(&format!("GET /?t={encoded}&x"));
                assert_eq!(shown, "GET /?t=***&x");
            }
        }
        assert_eq!(masks.apply("one and another"), "one and ***");
        assert_eq!(Masks::new("", b"").apply("nothing"), "nothing");
        // A word that happens to be a part of a short secret's Base64 is left alone.
        assert_eq!(Masks::new("abc", b"").apply("WJj YmM ab c"), "WJj YmM ab c");
    }
}
