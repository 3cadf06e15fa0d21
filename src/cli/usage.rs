//! A wrong command line: what clap found wrong, worded as our errors are, and what was probably meant.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{HELP_HINT, command, say, say_aside, say_error};
use crate::error::Error;

const CREDENTIALS_HINT: &str = "the file of an OAuth client is needed, which you make at Google and download (docs/google-client.md says how): `imap-to-gmail auth --credentials client_secret.json`";

/// An option that was typed with one hyphen, as some other programs want it: clap would read `-config` as
/// `-c onfig`.
pub(super) fn slip(args: &[OsString]) -> Option<Error> {
    let root = command();
    let known = |name: &str| {
        let mut commands = root.get_subcommands().chain([&root]);
        commands.any(|c| c.get_arguments().any(|arg| arg.get_long() == Some(name)))
    };
    let typed = args.iter().skip(1).filter_map(|arg| arg.to_str());
    let arg = typed.take_while(|arg| *arg != "--").find(|arg| {
        let name = arg.strip_prefix('-').unwrap_or_default();
        let name = name.split('=').next().unwrap_or_default();
        name.len() > 1 && known(name)
    })?;
    Some(
        Error::usage(format!("unexpected argument '{arg}' found"))
            .hint(format!("did you mean `-{arg}`?")),
    )
}

/// Help and version are printed as clap words them.
pub(super) fn usage(e: &clap::Error) -> u8 {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            say(&e.to_string());
            return 0;
        }
        // A service whose arguments were lost must not look as if it had succeeded.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            say_aside(&e.to_string());
            return 2;
        }
        _ => {}
    }
    let text = e.to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let sentence: Vec<&str> = sentence.lines().map(str::trim).collect();
    let sentence = sentence.join(" ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
    let error = match (e.kind(), e.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(typed))) => {
            Error::usage(format!("there is no command `{typed}`"))
        }
        _ => Error::usage(sentence),
    };
    say_error(&error.hint(meant(e)));
    2
}

/// What other programs call our `run`.
const RUN: [&str; 8] = [
    "copy", "daemon", "fetch", "go", "once", "start", "sync", "watch",
];

/// What may have been meant instead.
fn meant(e: &clap::Error) -> String {
    if let Some(file) = configuration(e) {
        return format!("did you mean `--config {file}`?");
    }
    if let Some(ContextValue::String(typed)) = e.get(ContextKind::InvalidSubcommand)
        && RUN.contains(&&**typed)
    {
        return "did you mean `run`?".into();
    }
    if e.kind() == ErrorKind::MissingRequiredArgument && e.to_string().contains("--credentials") {
        return CREDENTIALS_HINT.into();
    }
    let near = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let near = near.iter().find_map(|kind| match e.get(*kind) {
        Some(ContextValue::String(s)) => Some(s.clone()),
        // The likeliest comes last.
        Some(ContextValue::Strings(s)) => s.last().cloned(),
        _ => None,
    });
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if e.kind() == ErrorKind::ArgumentConflict && e.to_string().contains("subcommand") => {
            "options come after the command, like `imap-to-gmail status --config FILE`".into()
        }
        None => HELP_HINT.into(),
    }
}

/// A file that stands alone, where an option or a command is expected.
fn configuration(e: &clap::Error) -> Option<&str> {
    let alone = match e.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        // `retry-failed` takes ids there.
        ErrorKind::ValueValidation => ContextKind::InvalidValue,
        _ => return None,
    };
    let Some(ContextValue::String(typed)) = e.get(alone) else {
        return None;
    };
    let is_option = typed.starts_with('-')
        || matches!(e.get(ContextKind::InvalidArg), Some(ContextValue::String(arg)) if arg.starts_with("--"));
    (!is_option && (typed.ends_with(".json") || Path::new(typed).is_file())).then_some(typed)
}
