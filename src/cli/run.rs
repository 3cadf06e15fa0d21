//! `run`: the engine set in motion within a service, and how it ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use log::Level;

use super::args::RunArgs;
use super::dry_run::dry_run;
use super::progress::{self, Reporter};
use super::say_aside;
use crate::config::{Config, Intervals, Key};
use crate::engine::{Ended, Engine, Watch, changed_at};
use crate::error::{Note, Result};
use crate::import_state;
use crate::ledger::{self, Chosen, Ledger, Route};
use crate::logging::{self, Bottom};
use crate::page;
use crate::service::Service;
use crate::text::{WIDTH, counted, shell_word, wrapped};

pub(super) fn run(args: &RunArgs, times: Intervals) -> Result<u8> {
    let config_of = changed_at(&args.config);
    let config = Config::load(&args.config, Utc::now())?;
    let chosen = chosen_ledger(args, &config)?;
    let path = chosen.path.clone();
    let bottom = if args.dry_run { None } else { Bottom::new() };
    let log = logging::start(&args.log_options(bottom.clone()))?;
    let warn_of_places = |moved: &[Note]| {
        for note in moved.iter().chain(&chosen.notes) {
            log::warn!("{note}");
        }
    };
    if args.dry_run {
        warn_of_places(&config.moved);
        return dry_run(config, times, &path, args, |ledger| {
            mention_script(ledger, args)
        });
    }
    // Whoever has not got the ledger writes nothing into a log that its owner may be rotating.
    let lock = ledger::lock(&path)?;
    warn_of_places(&config.moved);
    let ledger = Ledger::open_or_create(&path, true)?.locked_by(lock);
    mention_script(&ledger, args)?;
    let every = times.report;
    let engine = Engine::new(config.clone(), times, ledger)?;
    let page = args
        .http
        .as_ref()
        .map(|place| page::serve(place, shown(&engine, &path, args)));
    let page = page.transpose()?;
    for sentence in progress::beginning(&config, &path, &engine.before()?) {
        log::info!("{sentence}");
    }
    let reload: Option<fn()> = if log.is_file() {
        Some(logging::reopen)
    } else {
        None
    };
    let service = Service::hold(&engine, reload)?;
    let idle = if args.once {
        "looking for messages"
    } else {
        "watching"
    };
    let reporter = Reporter::start(&engine, bottom.clone(), every, idle);
    let ended = if args.once {
        engine.run_once()
    } else {
        engine.run_for_good(&Watch {
            config_file: args.config.clone(),
            config_of,
            poll: Duration::from_secs(args.poll_interval),
            idle: !args.no_idle,
            ledger_given: args.state_file.is_some(),
        })
    };
    drop(page);
    drop(service);
    drop(reporter);
    let last = LastWords {
        aside: bottom.is_some() && !log.is_on_terminal(),
    };
    last.say_summary(&engine, ended.is_err());
    last.say_end(ended?, &engine, &config.target_user, args)
}

fn chosen_ledger(args: &RunArgs, config: &Config) -> Result<Chosen> {
    match &args.state_file {
        Some(path) => Ok(Chosen {
            path: path.clone(),
            notes: Vec::new(),
        }),
        None => ledger::choose(&config.ledger.path, &config.ledger.older, || {
            Ok(route(config))
        }),
    }
}

/// The one route of this run, for its page.
fn shown(
    engine: &Arc<Engine>,
    ledger: &Path,
    args: &RunArgs,
) -> impl Fn() -> Vec<page::Route> + Send + Sync + use<> {
    let (engine, state_file) = (Arc::clone(engine), ledger.to_path_buf());
    let files = format!(" {}", ledger_option(args));
    move || {
        let (source, target, upload_limit, token_file) = engine.with_config(|config| {
            let token_file = match &config.target_key {
                Key::TokenFile(file) => Some(file.clone()),
                Key::Password(_) => None,
            };
            (
                config.source_user.clone(),
                config.target_user.clone(),
                config.upload_limit_per_day,
                token_file,
            )
        });
        vec![page::Route {
            name: format!("{target} from {source}"),
            ledger: Ok(page::Watched {
                state_file: state_file.clone(),
                upload_limit,
                token_file,
                files: files.clone(),
            }),
        }]
    }
}

/// What is said when a run is over.
struct LastWords {
    /// Who looks at a terminal and not at the log is told there too.
    aside: bool,
}

impl LastWords {
    fn say(&self, level: Level, sentence: &str) {
        log::log!(level, "{sentence}");
        if self.aside {
            say_aside(&wrapped(WIDTH, "", "  ", sentence));
        }
    }

    fn say_summary(&self, engine: &Arc<Engine>, failed: bool) {
        let Ok(mut progress) = engine.progress() else {
            return;
        };
        if failed && progress.counts.done().messages == 0 {
            return;
        }
        if failed {
            // That is said in full at the very end.
            progress.troubles.clear();
        }
        for sentence in progress::summary(&progress) {
            self.say(Level::Info, &sentence);
        }
    }

    /// Says how the run ended. Returns its exit status.
    fn say_end(
        &self,
        ended: Ended,
        engine: &Arc<Engine>,
        target: &str,
        args: &RunArgs,
    ) -> Result<u8> {
        match ended {
            Ended::Done => {
                let done = match engine.before()?.skipped {
                    0 => format!("done: everything is in {target}"),
                    n => format!(
                        "done: everything is in {target} but {} that you skipped",
                        counted(n, "message")
                    ),
                };
                self.say(Level::Info, &done);
                Ok(0)
            }
            Ended::Stopped => {
                self.say(Level::Info, "stopped; the next run goes on from here");
                Ok(0)
            }
            Ended::Left { pending, failed } => {
                let left = format!(
                    "ended with {} waiting and {failed} failed; `imap-to-gmail status --failed {}` says why",
                    counted(pending, "message"),
                    ledger_option(args)
                );
                self.say(Level::Warn, &left);
                Ok(3)
            }
        }
    }
}

fn route(config: &Config) -> Route {
    Route::new(
        &config.source_user,
        &config.source.host,
        &config.target_user,
        &config.target.host,
    )
}

/// Who comes from the Python script learns of `import-state` before anything is sent twice.
fn mention_script(ledger: &Ledger, args: &RunArgs) -> Result<()> {
    if let Some(file) = import_state::left_behind(ledger)? {
        log::warn!(
            "{} is not taken over yet: if it is of these accounts, `imap-to-gmail import-state {} {}` makes known what the Python script had copied",
            file.display(),
            shell_word(&file.display().to_string()),
            ledger_option(args)
        );
    }
    Ok(())
}

/// The option that names the ledger of this run, for the next command.
fn ledger_option(args: &RunArgs) -> String {
    let (option, file) = match &args.state_file {
        Some(path) => ("--state-file", path),
        None => ("--config", &args.config),
    };
    format!("{option} {}", shell_word(&file.display().to_string()))
}
