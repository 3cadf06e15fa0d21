//! The bytes of a configuration, or why it cannot be read and what a person must do about that.

use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::place::{login, user};
use crate::text::shell_word;

/// More than any configuration has.
const FILE_MAX: usize = 1 << 20;

pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A device may have no end.
    File::open(path)
        .and_then(|file| file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(path, &e))?;
    if bytes.len() > FILE_MAX {
        let mib = FILE_MAX >> 20;
        return Err(wrong(
            path,
            &format!("more than {mib} MiB, expected a configuration"),
        )
        .hint("give the path of your configuration with --config"));
    }
    Ok(bytes)
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::usage(format!("{}: {what}", path.display()))
}

fn unreadable(path: &Path, e: &io::Error) -> Error {
    match e.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing(path),
        ErrorKind::PermissionDenied => forbidden(path),
        ErrorKind::IsADirectory => folder(path),
        _ => wrong(path, &format!("cannot be read: {e}"))
            .hint("give the path of your configuration with --config"),
    }
}

fn missing(path: &Path) -> Error {
    let what = match (fs::read_link(path), env::current_dir()) {
        (Ok(to), _) => format!("this is a link to {}, where there is nothing", to.display()),
        (_, Ok(here)) if path.is_relative() => {
            format!(
                "there is no such file (the current folder is {})",
                here.display()
            )
        }
        _ => "there is no such file".into(),
    };
    wrong(path, &what).hint(format!(
        "if it is in another folder, give its path with --config; if there is none yet, `install -m 600 config.json.example {}` makes one, for you to put your accounts into",
        word(path)
    ))
}

fn folder(path: &Path) -> Error {
    let usual = path.join("config.json");
    wrong(path, "this is a folder, expected a file").hint(if usual.is_file() {
        format!("did you mean `--config {}`?", word(&usual))
    } else {
        "give the path of your configuration, with its name, with --config".into()
    })
}

/// Whose file it is, and as which user we try to read it.
fn forbidden(path: &Path) -> Error {
    let id = fs::metadata("/proc/self").ok().map(|m| m.uid());
    let me = id.map_or_else(|| "you".into(), |id| format!("you ({})", user(id)));
    let file = word(path);
    // Nobody may learn what lies in a folder that they may not enter.
    let mut known = path
        .ancestors()
        .filter_map(|place| Some((place, fs::metadata(place).ok()?)));
    let Some((place, of)) = known.next() else {
        return wrong(path, &format!("{me} may not read it"))
            .hint("run this command as the user who owns it");
    };
    let mode = of.permissions().mode() & 0o7777;
    let (owner, login) = (user(of.uid()), login(of.uid()));
    let is_mine = id == Some(of.uid());
    let whose = if is_mine { "you" } else { &owner };
    let closed = format!("belongs to {whose} and has mode {mode:o}");
    let what = if place == path {
        format!("{me} may not read it: it {closed}")
    } else {
        format!(
            "{me} may not look into its folder: {} {closed}",
            place.display()
        )
    };
    wrong(path, &what).hint(match (is_mine, place == path) {
        (true, true) => format!("`chmod 600 {file}`"),
        (true, false) => format!("`chmod u+rx {}`", word(place)),
        _ => format!("run this command as {owner}, as in `sudo -u {login} imap-to-gmail ...`; or give the file to the user who runs it: `sudo chown USER {file}`"),
    })
}

fn word(path: &Path) -> String {
    shell_word(&path.display().to_string())
}
