//! The words of a command: atoms, quoted strings, literals and lists (RFC 3501 9). Whatever it cannot read is, to the
//! stand-in as to Gmail, `BAD Could not parse command`.

use std::ops::RangeInclusive;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// With what stands in its brackets: `BODY.PEEK[HEADER.FIELDS (DATE)]` is one.
    Atom(String),
    /// Quoted or literal.
    Text(Vec<u8>),
    List(Vec<Token>),
}

impl Token {
    /// As text, in whichever of its forms.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Token::Atom(atom) => Some(atom.clone()),
            Token::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Token::List(_) => None,
        }
    }

    pub(crate) fn is_atom(&self, word: &str) -> bool {
        matches!(self, Token::Atom(atom) if atom.eq_ignore_ascii_case(word))
    }

    /// Its members, or itself.
    pub(crate) fn members(&self) -> &[Token] {
        match self {
            Token::List(members) => members,
            one => std::slice::from_ref(one),
        }
    }
}

/// The words after the name of a command; literals stand where they were sent, `{n}` and all.
pub(crate) fn tokens(mut rest: &[u8]) -> Option<Vec<Token>> {
    let (tokens, end) = list(&mut rest)?;
    (!end).then_some(tokens)
}

/// Up to the closing parenthesis (true) or the end of the command (false).
fn list(rest: &mut &[u8]) -> Option<(Vec<Token>, bool)> {
    let mut tokens = Vec::new();
    loop {
        match rest.first() {
            None => return Some((tokens, false)),
            Some(b' ') => *rest = &rest[1..],
            Some(b')') => {
                *rest = &rest[1..];
                return Some((tokens, true));
            }
            Some(b'(') => {
                *rest = &rest[1..];
                let (members, closed) = list(rest)?;
                if !closed {
                    return None;
                }
                tokens.push(Token::List(members));
            }
            Some(b'"') => tokens.push(Token::Text(quoted(rest)?)),
            Some(b'{') => tokens.push(Token::Text(literal(rest)?)),
            Some(_) => tokens.push(Token::Atom(atom(rest)?)),
        }
    }
}

fn quoted(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'"' => break,
            b'\\' => {
                at += 1;
                let escaped = *rest.get(at)?;
                if !matches!(escaped, b'"' | b'\\') {
                    return None;
                }
                out.push(escaped);
            }
            &byte => out.push(byte),
        }
        at += 1;
    }
    *rest = &rest[at + 1..];
    Some(out)
}

fn literal(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let line = rest.iter().position(|&b| b == b'\n')?;
    let (len, _) = announced(&rest[..line - 1])?;
    let start = line + 1;
    let bytes = rest.get(start..start + len)?.to_vec();
    *rest = &rest[start + len..];
    Some(bytes)
}

fn atom(rest: &mut &[u8]) -> Option<String> {
    let mut depth = 0;
    let mut len = 0;
    for &byte in rest.iter() {
        match byte {
            b'[' => depth += 1,
            b']' if depth > 0 => depth -= 1,
            b' ' | b'(' | b')' | b'"' | b'{' if depth == 0 => break,
            0..=31 | 127 => return None,
            _ => {}
        }
        len += 1;
    }
    if depth > 0 {
        return None;
    }
    let atom = String::from_utf8(rest[..len].to_vec()).ok()?;
    *rest = &rest[len..];
    Some(atom)
}

/// `{n}` or `{n+}` at the end of a line: how long the literal is, and whether it is sent without being asked for.
pub(crate) fn announced(line: &[u8]) -> Option<(usize, bool)> {
    let line = line.strip_suffix(b"}")?;
    let open = line.iter().rposition(|&b| b == b'{')?;
    let inner = std::str::from_utf8(&line[open + 1..]).ok()?;
    let (digits, at_once) = match inner.strip_suffix('+') {
        Some(digits) => (digits, true),
        None => (inner, false),
    };
    let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((numeric.then(|| digits.parse().ok())??, at_once))
}

/// A set of UIDs or sequence numbers. `*` is `last`, and `n:*` always reaches it (RFC 3501 6.4.8).
pub(crate) fn set(text: &str, last: u32) -> Option<Vec<RangeInclusive<u32>>> {
    let number = |text: &str| match text {
        "*" => Some(last),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|&n| n > 0)
        }
        _ => None,
    };
    text.split(',')
        .map(|part| {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            Some(from.min(to)..=from.max(to))
        })
        .collect()
}

/// Numbers as a set: `1:3,5`.
pub(crate) fn as_set(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => ranges.push((number, number)),
        }
    }
    let ranges = ranges.iter().map(|(from, to)| {
        if from == to {
            from.to_string()
        } else {
            format!("{from}:{to}")
        }
    });
    ranges.collect::<Vec<_>>().join(",")
}

/// A name as Gmail writes it where it may: an atom, else quoted (docs/gmail.md 4.1).
pub(crate) fn atom_or_quoted(name: &str) -> String {
    let special = |b: u8| b <= b' ' || b >= 127 || b"(){%*\"\\]".contains(&b);
    if name.is_empty() || name.bytes().any(special) {
        quote(name)
    } else {
        name.to_string()
    }
}

pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_each_form() {
        let words =
            tokens(b"\"a \\\"b\" (\\Seen x) BODY.PEEK[HEADER.FIELDS (DATE)]<0.9> {3}\r\na)b z");
        let atom = |text: &str| Token::Atom(text.into());
        assert_eq!(
            words.unwrap(),
            [
                Token::Text(b"a \"b".to_vec()),
                Token::List(vec![atom("\\Seen"), atom("x")]),
                atom("BODY.PEEK[HEADER.FIELDS (DATE)]<0.9>"),
                Token::Text(b"a)b".to_vec()),
                atom("z"),
            ]
        );
        for broken in [&b"\"a"[..], b"(a", b"a)", b"BODY[", b"\"\\a\"", b"{3}\r\na"] {
            assert_eq!(tokens(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn sets() {
        assert_eq!(set("2,4:3,9:*", 7).unwrap(), [2..=2, 3..=4, 7..=9]);
        assert_eq!(set("0", 7), None);
        assert_eq!(set("1:x", 7), None);
        assert_eq!(as_set(&[1, 2, 3, 5, 7, 8]), "1:3,5,7:8");
        assert_eq!(announced(b"APPEND x {12+}"), Some((12, true)));
        assert_eq!(announced(b"APPEND x {}"), None);
    }
}
