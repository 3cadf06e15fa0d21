//! Mailbox names in modified UTF-7 (RFC 3501 5.1.3), as nearly every server has them on the wire. Not for
//! what a name means, nor for names that are on the wire in UTF-8.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The name as people read it. None where it is no modified UTF-7: a stray `&`, 8-bit bytes, half a
/// character.
pub fn decoded(wire: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = wire;
    while let Some((&first, behind)) = rest.split_first() {
        if first != b'&' {
            if !(b' '..=b'~').contains(&first) {
                return None;
            }
            out.push(char::from(first));
            rest = behind;
            continue;
        }
        let end = behind.iter().position(|&b| b == b'-')?;
        if end == 0 {
            out.push('&');
        } else {
            out += &shifted(&behind[..end])?;
        }
        rest = &behind[end + 1..];
    }
    Some(out)
}

/// What stands between `&` and `-`: UTF-16, the high byte first, in base64.
fn shifted(text: &[u8]) -> Option<String> {
    let bytes = BASE64.decode(text).ok()?;
    if bytes.len() % 2 != 0 {
        return None;
    }
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok()
}

/// The name as it goes over the wire: the one form that RFC 3501 allows.
pub fn encoded(name: &str) -> String {
    let mut out = String::new();
    let mut aside: Vec<u8> = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            shift(&mut out, &mut aside);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                aside.extend(unit.to_be_bytes());
            }
        }
    }
    shift(&mut out, &mut aside);
    out
}

fn shift(out: &mut String, aside: &mut Vec<u8>) {
    if !aside.is_empty() {
        out.push('&');
        BASE64.encode_string(&mut *aside, out);
        out.push('-');
        aside.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_both_ways() {
        for (wire, name) in [
            ("INBOX", "INBOX"),
            ("", ""),
            ("Sent Messages", "Sent Messages"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("Gel&APY-schte Objekte", "Gelöschte Objekte"),
            // RFC 3501 5.1.3's own.
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("AT&-T", "AT&T"),
            ("&-&-", "&&"),
            ("&2D3eAA-", "😀"),
            ("&AOQ-&-&APY-", "ä&ö"),
            ("a&AAk-b", "a\tb"),
        ] {
            assert_eq!(decoded(wire.as_bytes()).as_deref(), Some(name), "{wire}");
            assert_eq!(encoded(name), wire, "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for wire in [
            "&",
            "a&b",
            "&APw",
            "&!!-",
            "&A-",
            "&AP-",
            "&APx-",
            "&2D0-",
            "&AO-",
            "&AOQ=-",
            "&AO/k-",
            "Entwürfe",
            "a\tb",
            "a\r\nb",
            "\x7f",
            "&\u{e4}-",
        ] {
            assert_eq!(decoded(wire.as_bytes()), None, "{wire:?}");
        }
        assert_eq!(decoded(b"Entw\xfcrfe"), None);
    }

    #[test]
    fn servers_shift_more_than_they_must() {
        // RFC 3501 5.1.3 forbids both; what is meant is plain.
        assert_eq!(decoded(b"&AGEAYg-").as_deref(), Some("ab"));
        assert_eq!(decoded(b"&APw-&AOQ-").as_deref(), Some("üä"));
    }
}
