//! Reads the keys of `Rules` from a configuration, or says which item of which list is wrong. Not for what the rules
//! mean.

use serde_json::{Map, Value};

use super::{Mapping, Road, Rule, Rules, Target};
use crate::config::json::BACKSLASH_HINT;
use crate::config::value::since_of;
use crate::config::{Reader, known, text_of, value_text};
use crate::error::{Error, Result, shown};
use crate::folder::{INBOX, Listed, PATTERN_MAX, Pattern, SpecialUse, Spot};
use crate::message::Time;

/// Each mailbox is compared with each.
const ITEMS_MAX: usize = 1000;
/// A label that is longer could not be meant (Gmail takes 225 characters).
const LABEL_TEXT_MAX: usize = 1000;

const ITEM_KEYS: &[&str] = &[
    "source",
    "target",
    "labels",
    "label_found",
    "since",
    "delivery",
    "never_mark_spam",
];

const USES: &str = "\\Sent, \\Drafts, \\Junk, \\Trash or \\Archive";
const PATTERN_HINT: &str = "write the name as `imap-to-gmail folders` shows it; * stands for anything, % for anything but /";
const USE_HINT: &str = "in JSON a backslash is written twice: \"\\\\Sent\"";
const VIRTUAL_HINT: &str = "it shows messages that lie in other mailboxes: name those, or this one as `imap-to-gmail folders` shows it";
const LIST_HINT: &str =
    "a list stands in square brackets, also when there is one thing in it: [\"INBOX\"]";
const TARGET_HINT: &str = "\"archive\" means no INBOX, All Mail alone; without `target` a mailbox keeps its name as a label, and INBOX, Sent, Spam and the like go to Gmail's own";
const ROAD_HINT: &str = "\"append\" keeps every byte and date, and Gmail's spam filter does not look at the mail; \"import\" has Gmail treat new mail as mail that came";
const NO_TOKEN_HINT: &str = "make a sign-in with `imap-to-gmail auth` and name its file in `target_token_file` instead of the password; or leave `delivery` out: mail is then copied without Gmail's spam filter";
const LABEL_HINT: &str =
    "a label is a name like \"old@example.org\"; where messages go says `target`";

impl Reader<'_> {
    pub(in crate::config) fn rules(&self, now: Time) -> Result<Rules> {
        let mut rules = Rules {
            exclude: self.patterns("exclude")?,
            label: self.route_label()?,
            skip_inbox: self.flag("skip_inbox")?,
            road: road(self.map.get("delivery"), &|what| {
                self.error("delivery", what)
            })?
            .unwrap_or_default(),
            never_mark_spam: self.flag("never_mark_spam")?,
            ..Rules::default()
        };
        if let Some(items) = self.items("folders")? {
            if items.is_empty() {
                return Err(self
                    .error(
                        "folders",
                        "got an empty list, expected at least one mailbox",
                    )
                    .hint("without `folders` it is [\"INBOX\"]"));
            }
            let items = items.iter().enumerate();
            rules.folders = items
                .map(|(n, item)| self.rule(n + 1, item, now))
                .collect::<Result<_>>()?;
        }
        if rules.inbox_alone() && matches!(rules.mapping(&Listed::inbox()), Mapping::LeftOut(_)) {
            return Err(self
                .error(
                    "exclude",
                    "it leaves out INBOX, and `folders` names nothing else",
                )
                .hint("then nothing would be copied: name what is wanted in `folders`"));
        }
        if rules.any_by_import() {
            self.may_import()?;
        }
        Ok(rules)
    }

    /// What goes through Gmail's API needs a Gmail, and a token.
    fn may_import(&self) -> Result<()> {
        for password in ["target_pass", "target_pass_file"] {
            if self.map.contains_key(password) {
                let what = format!(
                    "\"import\" needs a Google sign-in, and with `{password}` there is only a password"
                );
                return Err(self.error("delivery", what).hint(NO_TOKEN_HINT));
            }
        }
        if !self.is_into_gmail() && !self.map.contains_key("gmail_api") {
            return Err(self
                .error(
                    "delivery",
                    "\"import\" needs Gmail, and `target_server` names another server",
                )
                .hint("leave `delivery` out"));
        }
        Ok(())
    }

    fn items(&self, key: &str) -> Result<Option<&Vec<Value>>> {
        match self.map.get(key) {
            None => Ok(None),
            Some(Value::Array(items)) if items.len() > ITEMS_MAX => Err(self.error(
                key,
                format!("got {} items, expected at most {ITEMS_MAX}", items.len()),
            )),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self
                .error(
                    key,
                    format!(
                        "got {}, expected a list like [\"INBOX\", \"Work/*\"]",
                        value_text(other)
                    ),
                )
                .hint(LIST_HINT)),
        }
    }

    fn patterns(&self, key: &str) -> Result<Vec<Pattern>> {
        let items = self.items(key)?.into_iter().flatten().enumerate();
        items
            .map(|(n, item)| {
                pattern(item, &|what| {
                    self.error(key, format!("item {}: {what}", n + 1))
                })
            })
            .collect()
    }

    fn rule(&self, n: usize, item: &Value, now: Time) -> Result<Rule> {
        let error = |what: String| self.error("folders", format!("item {n}: {what}"));
        let map = match item {
            Value::Object(map) => map,
            Value::String(_) => return pattern(item, &error).map(Rule::of),
            other => {
                return Err(error(format!(
                    "got {}, expected a pattern like \"Work/*\", or an object like {{\"source\": \"Work/*\", \"target\": \"Old/*\"}}",
                    value_text(other)
                ))
                .hint(PATTERN_HINT));
            }
        };
        known(map, ITEM_KEYS, "the keys of an item are", &error)?;
        let within = |key: &'static str| move |what: String| error(format!("`{key}`: {what}"));
        let source = map
            .get("source")
            .ok_or_else(|| error("`source` is missing".into()).hint(PATTERN_HINT))?;
        let source = pattern(source, &within("source"))?;
        let target = match map.get("target") {
            Some(value) => Some(target(value, &source, &within("target"))?),
            None => None,
        };
        Ok(Rule {
            target,
            labels: labels(map, &within("labels"))?,
            label_found: flag(map.get("label_found"), &within("label_found"))?,
            since: match map.get("since") {
                Some(value) => Some(since_of(
                    value,
                    now,
                    "without it the `since` of the whole configuration holds",
                    &within("since"),
                )?),
                None => None,
            },
            road: road(map.get("delivery"), &within("delivery"))?,
            never_mark_spam: match map.get("never_mark_spam") {
                Some(value) => Some(flag(Some(value), &within("never_mark_spam"))?),
                None => None,
            },
            source,
        })
    }

    fn route_label(&self) -> Result<Option<String>> {
        let Some(value) = self.map.get("label") else {
            return Ok(None);
        };
        label_name(value, &|what| self.error("label", what)).map(Some)
    }

    pub(in crate::config) fn flag(&self, key: &str) -> Result<bool> {
        flag(self.map.get(key), &|what| self.error(key, what))
    }
}

type Wrong<'e> = &'e dyn Fn(String) -> Error;

fn pattern(value: &Value, error: Wrong<'_>) -> Result<Pattern> {
    let text = text_of(value, error)?;
    if text.len() > PATTERN_MAX {
        return Err(error(format!(
            "got {} bytes, expected at most {PATTERN_MAX}",
            text.len()
        )));
    }
    Pattern::of(&text).ok_or_else(|| no_use(&text, "a name", error))
}

/// It begins with a backslash, and is no use that we know.
fn no_use(text: &str, or: &str, error: Wrong<'_>) -> Error {
    let others = ["\\All", "\\Flagged", "\\Important"];
    error(format!(
        "got `{}`, expected {or}, {USES}",
        shown(text.as_bytes())
    ))
    .hint(if others.iter().any(|o| o.eq_ignore_ascii_case(text)) {
        VIRTUAL_HINT
    } else {
        USE_HINT
    })
}

fn target(value: &Value, source: &Pattern, error: Wrong<'_>) -> Result<Target> {
    let text = text_of(value, error)?;
    let archive = Target::Spot(Spot::Use(SpecialUse::Archive));
    if text.eq_ignore_ascii_case("archive") {
        return Ok(archive);
    }
    if text.eq_ignore_ascii_case(INBOX) || text.eq_ignore_ascii_case("\\Inbox") {
        return Ok(Target::Spot(Spot::Inbox));
    }
    if text.starts_with('\\') {
        let special = SpecialUse::named(&text);
        return special
            .map(|special| Target::Spot(Spot::Use(special)))
            .ok_or_else(|| {
                no_use(&text, "\"INBOX\", \"archive\", a label", error).hint(TARGET_HINT)
            });
    }
    long_label(&text, error)?;
    let stars = text.matches('*').count();
    if stars > source.wildcards() {
        return Err(error(format!(
            "got `{}`, expected no more * than there are * and % in `source`",
            shown(text.as_bytes())
        ))
        .hint("each * in `target` stands for what one of those matched"));
    }
    Ok(Target::Template(text))
}

fn labels(map: &Map<String, Value>, error: Wrong<'_>) -> Result<Vec<String>> {
    match map.get("labels") {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= ITEMS_MAX => {
            items.iter().map(|item| label_name(item, error)).collect()
        }
        Some(Value::Array(items)) => Err(error(format!(
            "got {} labels, expected at most {ITEMS_MAX}",
            items.len()
        ))),
        Some(other) => Err(error(format!(
            "got {}, expected a list like [\"old mail\"]",
            value_text(other)
        ))
        .hint(LIST_HINT)),
    }
}

fn label_name(value: &Value, error: Wrong<'_>) -> Result<String> {
    let text = text_of(value, error)?;
    if text.starts_with('\\') || text.eq_ignore_ascii_case(INBOX) {
        return Err(error(format!(
            "got `{}`, which is Gmail's own, expected a label",
            shown(text.as_bytes())
        ))
        .hint(LABEL_HINT));
    }
    long_label(&text, error)?;
    Ok(text)
}

fn long_label(text: &str, error: Wrong<'_>) -> Result<()> {
    if text.len() > LABEL_TEXT_MAX {
        return Err(error(format!(
            "got {} bytes, expected a label of at most 225 characters",
            text.len()
        ))
        .hint(LABEL_HINT));
    }
    if text.contains(char::is_control) {
        return Err(
            error("got text with a control character in it, expected none".into())
                .hint(BACKSLASH_HINT),
        );
    }
    Ok(())
}

fn road(value: Option<&Value>, error: Wrong<'_>) -> Result<Option<Road>> {
    match value.map(|value| (value, value.as_str())) {
        None => Ok(None),
        Some((_, Some("append"))) => Ok(Some(Road::Append)),
        Some((_, Some("import"))) => Ok(Some(Road::Import)),
        Some((other, _)) => Err(error(format!(
            "got {}, expected \"append\" or \"import\"",
            value_text(other)
        ))
        .hint(ROAD_HINT)),
    }
}

fn flag(value: Option<&Value>, error: Wrong<'_>) -> Result<bool> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(
            error(format!("got {}, expected true or false", value_text(other)))
                .hint("write it without quotation marks"),
        ),
    }
}
