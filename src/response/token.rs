//! One response cut into tokens: atoms, quoted strings, literals and lists of them (RFC 3501 9). Not for
//! what they mean.
//!
//! Whatever comes, nothing panics, nothing is read twice, and depth and number are bounded.

/// How deep parentheses may nest. Ours need 3.
const MAX_DEPTH: usize = 40;
/// Values in one response: each costs more memory than its bytes on the wire, up to 50 times.
const MAX_TOKENS: usize = 20_000;

/// One piece of a framed response: text up to a line end, or a literal's bytes.
#[derive(Debug)]
pub enum Part {
    Text(Vec<u8>),
    Literal(Vec<u8>),
}

/// One value within a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Atom(Vec<u8>),
    /// A quoted string, unescaped, or a literal.
    Text(Vec<u8>),
    List(Vec<Token>),
}

impl Token {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Token::Atom(b) if b.eq_ignore_ascii_case(b"NIL") => None,
            Token::Atom(b) | Token::Text(b) => Some(b),
            Token::List(_) => None,
        }
    }

    pub(super) fn number<N: std::str::FromStr>(&self) -> Option<N> {
        std::str::from_utf8(self.bytes()?).ok()?.parse().ok()
    }
}

/// The tokens of a response from byte `skip` of its first part on.
pub(super) fn tokens(parts: Vec<Part>, skip: usize) -> Option<Vec<Token>> {
    let mut open: Vec<Vec<Token>> = vec![Vec::new()];
    let mut room = MAX_TOKENS;
    let last = parts.len() - 1;
    for (i, part) in parts.into_iter().enumerate() {
        match part {
            Part::Literal(bytes) => open.last_mut()?.push(Token::Text(bytes)),
            Part::Text(line) => {
                let line = if i == 0 { line.get(skip..)? } else { &line };
                // Behind a literal: what else stands there is the rest of one announced too short.
                if i > 0 && !matches!(line.first(), None | Some(b' ' | b')')) {
                    return None;
                }
                text_tokens(line, i < last, &mut open, &mut room)?;
            }
        }
    }
    match open.len() {
        1 => open.pop(),
        _ => None,
    }
}

/// The tokens of one line; with `before_literal` its closing `{n}` is left out.
fn text_tokens(
    line: &[u8],
    before_literal: bool,
    open: &mut Vec<Vec<Token>>,
    room: &mut usize,
) -> Option<()> {
    let line = if before_literal {
        &line[..literal_start(line)?]
    } else {
        line
    };
    let mut at = 0;
    while let Some(&b) = line.get(at) {
        if b != b' ' {
            *room = room.checked_sub(1)?;
        }
        match b {
            b' ' => at += 1,
            b'(' => {
                if open.len() > MAX_DEPTH {
                    return None;
                }
                open.push(Vec::new());
                at += 1;
            }
            b')' => {
                let list = open.pop()?;
                open.last_mut()?.push(Token::List(list));
                at += 1;
            }
            b'"' => {
                let (text, len) = quoted(&line[at + 1..])?;
                open.last_mut()?.push(Token::Text(text));
                at += 1 + len;
            }
            _ => {
                let len = atom_len(&line[at..]);
                open.last_mut()?
                    .push(Token::Atom(line[at..at + len].to_vec()));
                at += len;
            }
        }
    }
    Some(())
}

/// A quoted string from behind its opening quote: its text, and the bytes it took.
fn quoted(line: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        match *line.get(at)? {
            b'"' => return Some((text, at + 1)),
            b'\\' => {
                text.push(*line.get(at + 1)?);
                at += 2;
            }
            b => {
                text.push(b);
                at += 1;
            }
        }
    }
}

/// Up to a blank or parenthesis, sections in brackets included: `BODY[HEADER.FIELDS (DATE)]<0>`.
/// A bracket that never closes is an ordinary byte, as in Gmail's flag `OIB-Seen-[Gmail]/All`.
fn atom_len(line: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&b) = line.get(at) {
        match b {
            b' ' | b'(' | b')' => break,
            b'[' if line[..at].eq_ignore_ascii_case(b"BODY") => {
                match line[at..].iter().position(|&b| b == b']') {
                    Some(len) => at += len + 1,
                    None => at += 1,
                }
            }
            _ => at += 1,
        }
    }
    at.max(1)
}

/// Where the `{n}` (also `{n+}`, `~{n}`) at the end of a line begins.
fn literal_start(line: &[u8]) -> Option<usize> {
    let open = line.iter().rposition(|&b| b == b'{')?;
    Some(if open > 0 && line[open - 1] == b'~' {
        open - 1
    } else {
        open
    })
}

/// The length of the literal that this line announces at its end (RFC 3501 4.3, RFC 7888).
pub fn announced_literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&b| b == b'{')?;
    let digits = inner[open + 1..]
        .strip_suffix(b"+")
        .unwrap_or(&inner[open + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that does not fit is still an announcement: of more than we take.
    Some(
        std::str::from_utf8(digits)
            .ok()?
            .parse()
            .unwrap_or(u64::MAX),
    )
}
