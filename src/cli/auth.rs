//! `auth`: what a person who signs in is told, and the order in which things happen. With `--config`, a token
//! file is replaced only once the new token has opened the mail of the right account.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use chrono::Utc;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::{AuthArgs, ProviderName};
use super::{say, say_notes, usual_config};
use crate::config::{self, Account, Intervals};
use crate::error::{Again, Error, Fault, Result};
use crate::oauth::{Client, Consent, Device, Grant, PUBLISH, Provider, TESTING_LIFE, TokenPlace};
use crate::session::{Login, Session};
use crate::text::counted;

impl From<ProviderName> for Provider {
    fn from(name: ProviderName) -> Provider {
        match name {
            ProviderName::Google => Provider::Google,
            ProviderName::Microsoft => Provider::Microsoft,
            ProviderName::Other => Provider::Other,
        }
    }
}

pub(super) fn auth(args: &AuthArgs, times: &Intervals) -> Result<u8> {
    let provider = Provider::from(args.provider);
    let client = Client::read(&args.credentials, provider)?;
    // Gmail is the target. The source may be at any provider.
    let side = match provider {
        Provider::Google => "target",
        Provider::Microsoft | Provider::Other => "source",
    };
    // A token file named with --token-file need not belong to the configuration in this folder.
    let usual = || usual_config().filter(|_| args.token_file.is_none());
    let config = args.config.clone().or_else(usual);
    let account = match &config {
        Some(config) => Some(config::account(config, side)?),
        None => None,
    };
    let path = match &args.token_file {
        Some(path) => path.clone(),
        None => token_file(account.as_ref().zip(config.as_deref()), side)?,
    };
    say_notes(account.iter().flat_map(|account| &account.moved));
    let place = TokenPlace::new(&path)?;
    let user = account.as_ref().map(|a| a.user.as_str());
    let finish = |grant: Grant| finish(&client, account.as_ref(), place, &grant, times);
    if args.device {
        let device = Device::begin(&client, times.command)?;
        say(&device_text(&device, user));
        say(&finish(device.wait()?)?);
        return Ok(0);
    }
    let consent = Consent::begin(&client, args.port, user)?;
    let opened = !args.no_browser && open_browser(consent.url());
    let silence = Silence::begin()?;
    say(&consent_text(
        &client,
        &consent,
        opened,
        user,
        times.consent,
    ));
    let (code, page) = consent.wait(io::stdin(), times.consent, warn);
    drop(silence);
    let end = code
        .and_then(|code| client.exchange(code, times.command))
        .and_then(finish);
    if let Some(page) = page {
        page.show(end.as_deref());
    }
    say(&end?);
    Ok(0)
}

fn token_file(account: Option<(&Account, &Path)>, side: &str) -> Result<PathBuf> {
    let Some((account, config)) = account else {
        return Ok("token.json".into());
    };
    account.token_file.clone().ok_or_else(|| {
        Error::usage(format!(
            "{}: there is no `{side}_token_file` in it",
            config.display()
        ))
        .hint(format!(
            "put `\"{side}_token_file\": \"token.json\"` there in place of the password, or give --token-file"
        ))
    })
}

/// Tries the token if the account is known, writes it, and says what is true now.
fn finish(
    client: &Client,
    account: Option<&Account>,
    place: TokenPlace,
    grant: &Grant,
    times: &Intervals,
) -> Result<String> {
    let path = place.path().display().to_string();
    let written = match account {
        Some(account) => {
            let server = prove(account, grant, place.path(), times)?;
            format!(
                "{path} is written: {server} lets it in as {}.\n",
                account.user
            )
        }
        None => format!(
            "{path} is written. Whether it opens the mail of the right account was not tried; with --config it is.\n"
        ),
    };
    let mut text = written;
    if place.write(client, grant)? {
        text += &format!(
            "{path} cannot be replaced, so it was written in place: it is mounted as a single file, or its folder cannot be written. A power cut at such a moment may cost the sign-in; better mount the folder.\n"
        );
    }
    if client.provider == Provider::Google {
        text += &testing_text(grant);
    }
    Ok(text)
}

/// Signs in with the token: only the server can tell which account it belongs to.
fn prove(account: &Account, grant: &Grant, path: &Path, times: &Intervals) -> Result<String> {
    let user = account.user.clone();
    let login = Login::Token {
        user,
        token: grant.access.clone(),
    };
    let (user, path) = (&account.user, path.display());
    match Session::open(&account.endpoint, &login, times) {
        Ok(session) => {
            let server = session.name();
            session.logout();
            Ok(server)
        }
        Err(e) if e.credentials_refused && says_nothing_more(&e.message) => Err(Error::new(
            Fault::NeedsUser,
            format!("this sign-in does not open the mail of {user}: {e}"),
        )
        .hint(format!(
            "it was probably of another account: run the same command again and choose {user}; nothing was written to {path}"
        ))),
        Err(e) => {
            // Nobody waits here until the server has room: the exit status for that is only for `run --once`.
            let e = if e.reaction().again == Again::AfterPause {
                e.with_fault(Fault::Connection)
            } else {
                e
            };
            let hint = e.hint.clone().unwrap_or_else(|| {
                "run the same command again when the server is in reach".into()
            });
            Err(e.hint(format!("{hint}; nothing was written to {path}")))
        }
    }
}

/// The refusal names no reason of its own, such as IMAP being switched off (docs/gmail.md 2.3, 8.2).
fn says_nothing_more(words: &str) -> bool {
    let words = words.to_lowercase();
    [
        "authenticationfailed",
        "invalid credentials",
        "authenticate failed",
    ]
    .iter()
    .any(|w| words.contains(w))
}

fn testing_text(grant: &Grant) -> String {
    match grant.refresh_ends {
        Some(end) => format!(
            "Google ends this sign-in on {}. If that is because the client is in \"Testing\": {PUBLISH}, then sign in once more.\n",
            end.format("%Y-%m-%d")
        ),
        None => format!(
            "A Google client left in \"Testing\" ends every sign-in after 7 days, this one on {}. To publish it: {PUBLISH}; then sign in once more.\n",
            (Utc::now() + TESTING_LIFE).format("%Y-%m-%d")
        ),
    }
}

fn device_text(device: &Device, user: Option<&str>) -> String {
    let (address, code) = device.instructions();
    format!(
        "On any device, open\n\n  {address}\n\nenter the code {code} and sign in{}. Waiting for {}.\n",
        as_user(user),
        counted(device.life().as_secs().div_ceil(60), "minute")
    )
}

fn consent_text(
    client: &Client,
    consent: &Consent,
    opened: bool,
    user: Option<&str>,
    limit: Duration,
) -> String {
    let first = if opened {
        "A browser is being opened; if none comes up, open this address"
    } else {
        "Open this address in a browser"
    };
    let unverified = match client.provider {
        Provider::Google => {
            "Google may warn that it has not verified the app: it is your own; choose \"Advanced\", then \"Go to ...\".\n"
        }
        Provider::Microsoft | Provider::Other => "",
    };
    format!(
        "{first} and sign in{}:\n\n  {}\n\n{unverified}\
         The browser comes back to {}; waiting for {}.\n\
         If it runs on another machine, that page does not load: paste its whole address here and press Enter (it is not shown).\n",
        as_user(user),
        consent.url(),
        consent.redirect_uri(),
        counted(limit.as_secs().div_ceil(60), "minute")
    )
}

fn as_user(user: Option<&str>) -> String {
    user.map(|user| format!(" as {user}")).unwrap_or_default()
}

/// True if a browser was started.
fn open_browser(url: &str) -> bool {
    let display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    let opener = || {
        Command::new("xdg-open")
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    match display.then(opener) {
        Some(Ok(mut child)) => {
            thread::spawn(move || child.wait());
            true
        }
        _ => false,
    }
}

fn warn(words: &str) {
    let _ = writeln!(io::stderr(), "warning: {words}");
}

/// While this lives, the terminal does not show what is typed: the pasted address has the code in it.
struct Silence(Option<Termios>);

impl Silence {
    fn begin() -> Result<Silence> {
        if !io::stdin().is_terminal() {
            return Ok(Silence(None));
        }
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Ok(Silence(None));
        };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        // When the program is ended, the terminal must show again what is typed.
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|e| Error::fatal(format!("signals cannot be handled: {e}")))?;
        let restored = before.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let _ = tcsetattr(io::stdin(), OptionalActions::Now, &restored);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &quiet);
        Ok(Silence(Some(before)))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
