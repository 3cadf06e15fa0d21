//! Keeps what we sent to sign in out of everything that is shown: some servers echo the command
//! that they refuse. Not for what must be kept out of the ledger: that never holds a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Secret;

/// An echoed piece of a secret at least this long is masked; shorter secrets as a whole.
const PIECE_MIN: usize = 6;

/// The secrets of one session in each form in which they are on the wire.
#[derive(Clone, Default)]
pub struct Masks(Vec<Secret<Vec<u8>>>);

impl Masks {
    /// For a password or token, and the SASL response that holds it.
    pub fn new(secret: &str, response: &[u8]) -> Masks {
        let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
        let mut forms: Vec<Vec<u8>> = vec![
            secret.as_bytes().to_vec(),
            quoted.into_bytes(),
            STANDARD.encode(secret).into_bytes(),
            STANDARD.encode(response).into_bytes(),
        ];
        forms.retain(|f| !f.is_empty());
        forms.dedup();
        Masks(forms.into_iter().map(Secret::new).collect())
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
            match self
                .0
                .iter()
                .map(|s| piece_of(s.reveal(), &bytes[at..]))
                .max()
            {
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
}
