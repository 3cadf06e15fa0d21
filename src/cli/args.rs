//! What can be typed: the commands and their options, as clap reads them. The sentences here are those of
//! `--help`. Not for what the commands do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::audit::{Class, Wanted, repairable};
use crate::ledger::RowId;
use crate::logging;
use crate::page;

/// The configuration, where none is named.
pub(super) const CONFIG: &str = "config.json";
/// In seconds.
const DAY: u64 = 86_400;

/// Copies the mail of another account into Gmail: complete, once each.
#[derive(Parser, Debug)]
#[command(
    name = "imap-to-gmail",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    subcommand_negates_reqs = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: Option<RunArgs>,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Watch for mail and copy it
    ///
    /// Records every message of the source's INBOX, or of the folders that the configuration names, in
    /// the ledger, copies each pending one to the target, and goes on doing so as mail comes, until it
    /// is ended (Ctrl-C, SIGTERM).
    /// With --once it ends when everything has been tried. Running it again copies nothing twice.
    Run(RunArgs),
    /// Sign in with a browser and write the token file
    ///
    /// Shows an address, opens it in a browser where there is one, and waits 10 minutes for the
    /// sign-in. If the browser runs on another machine, it ends at an address that does not load:
    /// that address is pasted here. With --config the token is tried before it replaces the old one.
    Auth(AuthArgs),
    /// Try every setting for real, change nothing, and say what is wrong
    ///
    /// The configuration, the files it names, both servers, the sign-in at either, the ledger and
    /// the disk, one line each: ok, warning, problem with what to do about it, or skipped because
    /// something else is out of order. No mail is sent. May be used while `run` is running.
    Check(CheckArgs),
    /// Show the source's mailboxes (folders), and what becomes of each
    ///
    /// How many messages each holds, about how many of them `since` takes, where it is copied to, and
    /// which item of `folders` or `exclude` in the configuration decides; names as they are to be
    /// written there. Nothing is changed. May be used while `run` is running.
    Folders(FoldersArgs),
    /// Say what has been delivered, what waits, and what is wrong
    ///
    /// The first line says alone whether all is well. It begins with RUNNING, PAUSED (a limit is waited
    /// for, and it goes on by itself), TROUBLE, STARTING or NOT RUNNING. The exit status is 0 whatever it
    /// says. Who may read the ledger and not write it may ask too.
    Status(StatusArgs),
    /// Is everything in Gmail that should be, and what became of the rest
    ///
    /// Compares what the source holds, what the ledger knows and what Gmail holds now, message by message,
    /// and names each that is not plainly there: failed, deleted in Gmail, lost, and so on, with what can be
    /// done. No message is fetched, and nothing is changed but what --repair is told to. May be used while
    /// `run` is running, and without it. The exit status is 0 only when every message of the source is
    /// accounted for; 3 when a run has still to see to some; 4 when a person must look.
    Audit(AuditArgs),
    /// Say in one line whether all is well: exit status 0 if so, else 1
    ///
    /// Well means: a run goes on, has looked at the source when it was to, needs nobody, and no mail
    /// waits that could have been delivered 15 minutes ago. For monitors, and for containers; the ledger
    /// alone is read.
    Health(HealthArgs),
    /// Give failed messages another try, or give them up for good
    RetryFailed(RetryArgs),
    /// Take over what the Python script had copied
    ///
    /// Its state file says which messages it had copied; none of them is sent again. What it
    /// missed is delivered. Doing this again adds only what is new in the file.
    ImportState(ImportArgs),
}

#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// The configuration (JSON); given several times, or a folder of them, several accounts are watched at once
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: Vec<PathBuf>,
    /// The ledger [default: the configuration's `state_file`, else sync_state.db beside the
    /// configuration]
    #[arg(long, value_name = "FILE")]
    pub(super) state_file: Option<PathBuf>,
    /// Try everything that waits once, then end
    #[arg(long)]
    pub(super) once: bool,
    /// How often to look where the source does not tell of new mail by itself: 60 or 60s, 5min, 1h
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) poll_interval: u64,
    /// Look every --poll-interval, even where the source could tell (IDLE)
    #[arg(long)]
    pub(super) no_idle: bool,
    /// Only say what would be done; nothing is written
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Serve a page for a browser there, with /metrics, /healthz and /status.json: a port of this
    /// machine, like 8080, or an address and a port, like 192.168.1.5:8080. There is no password
    #[arg(long, value_name = "ADDRESS", value_parser = page::place, conflicts_with_all = ["once", "dry_run"])]
    pub(super) http: Option<page::Place>,
    /// Where the log goes: stdout, stderr, syslog, or the path of a file. SIGHUP, as a terminal sends
    /// it that is closed, makes it open the file anew; without a file it ends the program
    #[arg(long, value_name = "PLACE", default_value = "stdout")]
    pub(super) log: PathBuf,
    /// A log file is rotated, to FILE.1.zst and so on, before it exceeds this: 100K, 10M, 1G, or
    /// bytes
    #[arg(long, value_name = "SIZE", default_value = "10M", value_parser = logging::max_size, allow_negative_numbers = true)]
    pub(super) log_max_size: u64,
    /// How many rotated log files are kept; 0 keeps none: a full log is emptied
    #[arg(long, value_name = "N", default_value = "5", value_parser = logging::max_files, allow_negative_numbers = true)]
    pub(super) log_max_files: u32,
    /// Log details and the protocol, without passwords and message bodies
    #[arg(long)]
    pub(super) debug: bool,
}

impl RunArgs {
    pub(super) fn log_options(&self, bottom: Option<logging::Bottom>) -> logging::Options {
        logging::Options {
            // A dry run writes nothing, and its result goes to stdout.
            place: if self.dry_run {
                logging::Place::Stderr
            } else {
                logging::Place::named(&self.log)
            },
            max_size: self.log_max_size,
            max_files: self.log_max_files,
            debug: self.debug,
            bottom,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct AuthArgs {
    /// The credentials of the OAuth client: Google's client_secret.json, or as --provider says
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: PathBuf,
    /// The token file [default: the one of the configuration, else token.json]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Open no browser, only show the address
    #[arg(long)]
    pub(super) no_browser: bool,
    /// Where the browser comes back to on 127.0.0.1 [default: a port that is free]
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(super) port: Option<u16>,
    /// The configuration, for the account and its token file; the token is tried there [default:
    /// config.json, where there is one]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Whose account it is
    #[arg(long, value_enum, default_value = "google")]
    pub(super) provider: ProviderName,
    /// Show a code to enter on another device, where the provider has that (Microsoft)
    #[arg(long, conflicts_with_all = ["no_browser", "port"])]
    pub(super) device: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ProviderName {
    /// Gmail; --credentials is the JSON of a client of type "Desktop app"
    Google,
    /// Outlook.com, Microsoft 365; --credentials is {"client_id": "..."} of an app of your own, with
    /// `tenant` and `client_secret` where it has them
    Microsoft,
    /// Any other; --credentials is {"auth_uri", "token_uri", "client_id", "scope"}, with
    /// `client_secret`, `device_uri` and `redirect_uri` where the provider has them
    Other,
}

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// The configuration (JSON); given several times, or a folder of them, each is tried
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct AuditArgs {
    /// The configuration (JSON); given several times, or a folder of them, each is audited
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: Vec<PathBuf>,
    /// As JSON, with each message that is not plainly there
    #[arg(long)]
    pub(super) json: bool,
    /// List each message that is not plainly there, also where there are more than 50
    #[arg(long)]
    pub(super) all: bool,
    /// Have these sent again: ids as the list shows them, or all of a class (failed, skipped, deleted,
    /// lost, voucher_gone). They wait again; a run looks for each in Gmail, and sends what is not there
    #[arg(long, value_name = "ID|CLASS", num_args = 1.., value_delimiter = ',', value_parser = repaired)]
    pub(super) repair: Vec<Wanted>,
}

#[derive(Args, Debug)]
pub(super) struct FoldersArgs {
    /// The configuration (JSON)
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: PathBuf,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct LedgerArgs {
    /// The configuration, which says where the ledger is [default: config.json, where there is one]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The ledger itself, whatever the configuration says [default: sync_state.db, where there is
    /// no configuration either]
    #[arg(long, value_name = "FILE")]
    pub(super) state_file: Option<PathBuf>,
}

/// As [`LedgerArgs`], for several.
#[derive(Args, Debug)]
pub(super) struct LedgersArgs {
    /// The configuration, which says where the ledger is; given several times, or a folder of them, each is meant [default:
    /// config.json, where there is one]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
    /// The ledger itself, whatever the configuration says [default: sync_state.db, where there is
    /// no configuration either]
    #[arg(long, value_name = "FILE")]
    pub(super) state_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    pub(super) ledgers: LedgersArgs,
}

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) ledgers: LedgersArgs,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Each message too that failed or is put off, with its id and the reason
    #[arg(long)]
    pub(super) failed: bool,
}

#[derive(Args, Debug)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    pub(super) ledger: LedgerArgs,
    /// Give them up for good instead
    #[arg(long)]
    pub(super) skip: bool,
    /// Ids as `status --failed` shows them; none means all
    #[arg(value_name = "ID", value_parser = message_id, allow_negative_numbers = true)]
    pub(super) ids: Vec<RowId>,
}

#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// The script's state file, usually sync_state.json
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) ledger: LedgerArgs,
}

fn message_id(typed: &str) -> std::result::Result<RowId, &'static str> {
    let id = typed.parse().ok().filter(|id| *id >= 0);
    id.map(RowId)
        .ok_or("expected a number, as `imap-to-gmail status --failed` shows it")
}

/// What `audit --repair` takes.
fn repaired(typed: &str) -> std::result::Result<Wanted, String> {
    if let Some(id) = typed.parse().ok().filter(|id| *id >= 0) {
        return Ok(Wanted::Row(RowId(id)));
    }
    let class = Class::named(typed).filter(|class| class.is_repairable());
    let expected = || {
        format!(
            "expected an id as the list shows it, or one of {}",
            repairable()
        )
    };
    class.map(Wanted::Class).ok_or_else(expected)
}

/// What `auth --port` takes.
fn port(typed: &str) -> std::result::Result<u16, &'static str> {
    let port = typed.parse().ok().filter(|port| *port > 0);
    port.ok_or("expected a port, a number from 1 to 65535")
}

/// A span of time in seconds, or with its unit.
fn seconds(typed: &str) -> std::result::Result<u64, &'static str> {
    let digits = typed.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match typed[digits.len()..].trim_start() {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    let number = number.filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|seconds| (1..=DAY).contains(seconds))
        .ok_or("expected a time from one second to one day, like 60 or 60s, 5min or 1h")
}
