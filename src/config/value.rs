//! Values that are neither a server nor a secret: dates, numbers, sizes.

use chrono::{Datelike as _, NaiveDate};
use serde_json::Value;

use super::{Reader, Since, kind, text_of};
use crate::error::{Error, Result, shown};
use crate::message::Time;

const SINCE: &str = "days like \"30d\" (at most 36500), a date like \"2024-01-31\", or \"all\"";
const SINCE_HINT: &str = "without `since` the first run copies the last 7 days";

impl Reader<'_> {
    pub(super) fn since(&self, now: Time) -> Result<Since> {
        match self.map.get("since") {
            None => Ok(Since::Days(7)),
            Some(value) => since_of(value, now, SINCE_HINT, &|what| self.error("since", what)),
        }
    }

    pub(super) fn upload_limit(&self) -> Result<Option<u64>> {
        let Some(value) = self.map.get("upload_limit_per_day") else {
            return Ok(None);
        };
        let bytes = match value {
            Value::String(s) => bytes(s),
            Value::Number(n) => n.as_u64(),
            _ => None,
        };
        match bytes {
            Some(n) if n > 0 => Ok(Some(n)),
            _ => Err(self
                .error(
                    "upload_limit_per_day",
                    format!(
                        "got {}, expected a size like \"450M\" or \"2G\"",
                        value_text(value)
                    ),
                )
                .hint("Google lets Workspace accounts upload 500 MB a day by IMAP")),
        }
    }

    /// True where nothing is said of them.
    pub(super) fn notices(&self) -> Result<bool> {
        Ok(!self.map.contains_key("notices") || self.flag("notices")?)
    }

    pub(super) fn connections(&self) -> Result<usize> {
        match self.map.get("connections") {
            None => Ok(4),
            Some(v) => match v.as_u64() {
                Some(n @ 1..=10) => Ok(n as usize),
                _ => Err(self
                    .error(
                        "connections",
                        format!("got {}, expected a number from 1 to 10", value_text(v)),
                    )
                    .hint(number_in_quotes(v).unwrap_or_else(|| {
                        "Gmail allows 15 connections to an account, all of its mail programs together".into()
                    }))),
            },
        }
    }
}

/// How far back something reaches. `hint`: what holds without it.
pub(super) fn since_of(
    value: &Value,
    now: Time,
    hint: &str,
    error: &dyn Fn(String) -> Error,
) -> Result<Since> {
    if let Value::Number(days) = value {
        return Err(error(format!("got the number {days}, expected {SINCE}"))
            .hint(format!("for so many days write \"{days}d\"")));
    }
    let text = text_of(value, error)?;
    let wrong = |got: &str| {
        let got_it = format!("got `{}`, expected {SINCE}", shown(got.as_bytes()));
        error(got_it).hint(match got.trim().parse::<u32>() {
            Ok(days) => format!("for so many days write \"{days}d\""),
            Err(_) => hint.into(),
        })
    };
    if text == "all" {
        return Ok(Since::All);
    }
    if let Some(days) = text.strip_suffix('d') {
        return match days.parse::<u32>() {
            Ok(n) if n <= 36_500 && days.bytes().all(|b| b.is_ascii_digit()) => Ok(Since::Days(n)),
            _ => Err(wrong(&text)),
        };
    }
    let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d")
        .ok()
        // IMAP cannot name a day before that (RFC 3501 9, date-year).
        .filter(|date| date.year() > 0)
        .ok_or_else(|| wrong(&text))?;
    if date > now.date_naive() {
        return Err(error(format!(
            "got {date}, which lies in the future, expected a day that has begun"
        ))
        .hint(hint));
    }
    Ok(Since::Date(date))
}

/// `100K`, `10M`, `1G` (powers of 1024) or bare bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let (digits, factor) = match text.trim().strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']) {
        Some(digits) => (
            digits,
            match text.trim().as_bytes().last()? {
                b'K' | b'k' => 1 << 10,
                b'M' | b'm' => 1 << 20,
                _ => 1 << 30,
            },
        ),
        None => (text.trim(), 1),
    };
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse::<u64>().ok()?.checked_mul(factor)
    } else {
        None
    }
}

/// A number or string as it was typed; anything else by its kind.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => format!("the text \"{}\"", shown(s.as_bytes())),
        other => kind(other).to_string(),
    }
}

/// What to do about a number that was typed as text.
pub(super) fn number_in_quotes(value: &Value) -> Option<String> {
    let number: u64 = value.as_str()?.trim().parse().ok()?;
    Some(format!("write numbers without quotation marks: {number}"))
}
