//! What a reply of the API says: a message, labels, an error. Pure; whatever is not as it should be is None.
//! What an error means is `refusal`'s.

use serde::Deserialize;
use serde_json::Value;

use crate::folder::same_label;

/// What Gmail says of a message that it took (docs/gmail-import.md 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// X-GM-MSGID.
    pub msgid: u64,
    /// Ids of labels, as far as it told of any.
    pub labels: Vec<String>,
}

impl Receipt {
    pub fn parse(body: &[u8]) -> Option<Receipt> {
        let reply: Value = serde_json::from_slice(body).ok()?;
        let labels = reply["labelIds"].as_array().into_iter().flatten();
        Some(Receipt {
            msgid: msgid(reply["id"].as_str()?)?,
            labels: labels.filter_map(|id| Some(id.as_str()?.into())).collect(),
        })
    }
}

/// Hexadecimal digits without leading zeros (docs/gmail-import.md 2). It must fit the numbers of SQLite.
fn msgid(id: &str) -> Option<u64> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if id.starts_with('0') || !id.bytes().all(digit) {
        return None;
    }
    let number = u64::from_str_radix(id, 16).ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

/// A label as the API knows it: messages are given its id, people read its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub id: String,
    pub name: String,
    /// One of Gmail's own.
    pub system: bool,
}

#[derive(Deserialize)]
struct Listed {
    labels: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Label {
    pub fn parse(body: &[u8]) -> Option<Label> {
        let entry: Entry = serde_json::from_slice(body).ok()?;
        Label::of(entry)
    }

    /// A list in which one label cannot be read is no list: what is missing would be made again.
    pub fn parse_list(body: &[u8]) -> Option<Vec<Label>> {
        let listed: Listed = serde_json::from_slice(body).ok()?;
        listed.labels.into_iter().map(Label::of).collect()
    }

    fn of(entry: Entry) -> Option<Label> {
        let label = Label {
            system: entry.kind.as_deref() == Some("system"),
            id: entry.id,
            name: entry.name,
        };
        (!label.id.is_empty() && !label.name.is_empty()).then_some(label)
    }

    /// The person's label of this name, in whatever case (docs/gmail.md 5.1).
    pub fn find<'a>(labels: &'a [Label], name: &str) -> Option<&'a Label> {
        let mut all = labels.iter().filter(|label| !label.system);
        all.find(|label| same_label(&label.name, name))
    }
}

/// What an error says (docs/gmail-import.md 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `errors[].reason`, `details[].reason` and `status`.
    pub(super) reasons: Vec<String>,
    /// Empty where it is no JSON: what a page of HTML says is not repeated.
    pub(super) words: String,
}

impl Said {
    pub(super) fn parse(body: &[u8]) -> Said {
        let reply: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &reply["error"];
        let text = |value: &Value| value.as_str().map(str::to_string);
        let each = |key: &str| error[key].as_array().into_iter().flatten();
        let reasons = each("errors").chain(each("details"));
        let reasons = reasons.filter_map(|one| text(&one["reason"]));
        let words = text(&error["message"])
            // As OAuth has it, which a front end may answer with.
            .or_else(|| text(&reply["error_description"]))
            .or_else(|| text(error));
        Said {
            reasons: reasons.chain(text(&error["status"])).collect(),
            words: words.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_hexadecimal_without_leading_zeros() {
        // The pairs of docs/gmail-import.md 2.
        assert_eq!(msgid("18c218f77a3e3d06"), Some(1_784_015_853_579_025_670));
        assert_eq!(msgid("12ebb12bc64aa548"), Some(1_363_378_113_778_197_832));
        assert_eq!(msgid("dcf5704246d276c"), Some(0xdcf_5704_246d_276c));
        for odd in [
            "",
            "0",
            "0dcf5704246d276c",
            "18C218F77A3E3D06",
            "8000000000000000",
            "18c218f77a3e3d061",
            "+1",
            " 1",
            "ä",
        ] {
            assert_eq!(msgid(odd), None, "{odd}");
        }
    }

    #[test]
    fn replies_are_read_and_odd_ones_are_none() {
        let receipt = Receipt::parse(br#"{"id":"1f","threadId":"1f","labelIds":["INBOX",7]}"#);
        let labels = vec!["INBOX".to_string()];
        assert_eq!(receipt, Some(Receipt { msgid: 31, labels }));
        for odd in ["", "{}", "[]", "{\"id\":31}", "<html>", "{\"id\":\"1f\""] {
            assert_eq!(Receipt::parse(odd.as_bytes()), None, "{odd}");
        }
        let deep = format!("{{\"id\":\"1f\",\"x\":{}", "[".repeat(60_000));
        assert_eq!(Receipt::parse(deep.as_bytes()), None);
        assert_eq!(Said::parse(deep.as_bytes()), Said::default());
        let list = br#"{"labels":[{"id":"INBOX","name":"INBOX","type":"system"},{"id":"L1","name":"Work"}]}"#;
        let labels = Label::parse_list(list).unwrap_or_default();
        assert_eq!(
            Label::find(&labels, "WORK").map(|label| &*label.id),
            Some("L1")
        );
        assert_eq!(Label::find(&labels, "inbox"), None);
        for odd in [
            r#"{"labels":[{"id":"L1"}]}"#,
            r#"{"labels":[{"id":"","name":"x"}]}"#,
            "{}",
        ] {
            assert_eq!(Label::parse_list(odd.as_bytes()), None, "{odd}");
        }
    }
}
