//! By which road new mail gets into Gmail, and what that means; the road through Gmail's API is tried without sending mail.

use super::{Access, Finding};
use crate::config::{Address, Draft, Intervals};
use crate::error::{Again, Error};
use crate::target::api::{Api, Proof};
use crate::text::counted;

const NAME: &str = "target_delivery";

/// `access`: the token, where the target signs in with one.
pub(super) fn finding(draft: &Draft, times: &Intervals, access: Option<Access>) -> Option<Finding> {
    let rules = draft.rules.as_ref()?;
    if !rules.any_by_import() {
        let text = "mail is copied as it is, and Gmail's spam filter does not run over it (`delivery` is \"append\")";
        return Some(Finding::ok(NAME, text));
    }
    let token = match access {
        Some(Ok(token)) => token,
        Some(Err(why)) => return Some(Finding::skipped(NAME, &why)),
        None => return None,
    };
    let address = draft.gmail_api.clone().unwrap_or_else(Address::google);
    let proved = Api::new(address, draft.target.as_ref()?, times).and_then(|api| api.prove(&token));
    Some(match proved {
        Ok(proof) => Finding::ok(NAME, open(&proof)),
        Err(e) => Finding::only_warning(NAME, &closed(e)),
    })
}

fn open(proof: &Proof) -> String {
    let shown = match proof {
        Proof::Labels(labels) => format!("it lists {}", counted(labels.len(), "label")),
        Proof::Import => "it takes messages".into(),
    };
    format!(
        "new mail goes through Gmail's API, which answers ({shown}): Gmail's spam filter runs over it"
    )
}

/// A run copies mail all the same, but for what passes by itself.
fn closed(e: Error) -> Error {
    let then = match e.reaction().again {
        Again::WhenMended => {
            "until that is mended new mail is copied by APPEND, and Gmail's spam filter does not run over it"
        }
        Again::AfterPause => "new mail waits until then",
        Again::Soon | Again::Never => {
            "if it lasts for longer than a quarter of an hour, new mail is copied by APPEND meanwhile"
        }
    };
    let message = e.then(then);
    Error { message, ..e }
}
