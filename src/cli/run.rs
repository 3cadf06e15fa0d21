//! `run`: the engine set in motion within a service, and how it ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use log::Level;

use super::args::RunArgs;
use super::dry_run::dry_run;
use super::progress::{self, Reporter};
use super::{say, say_aside};
use crate::config::{Config, Intervals, Key};
use crate::engine::{Ended, Engine, Watch, changed_at};
use crate::error::{Error, Result, shown};
use crate::import_state;
use crate::ledger::{self, Chosen, Ledger, Route};
use crate::logging::{self, Bottom};
use crate::page;
use crate::service::{
    self, Begun, Entry, OnEnd, Pair, Registry, Roster, Routes, Service, Watchman,
};
use crate::text::{WIDTH, counted, shell_word, wrapped};

pub(super) fn run(args: &RunArgs, times: Intervals) -> Result<u8> {
    match &args.config[..] {
        [one] if !one.is_dir() => run_one(args, one, times),
        _ if args.state_file.is_some() => Err(one_ledger_each()),
        places if args.dry_run => rehearse_each(args, places, &times),
        places => run_each(args, places, times),
    }
}

pub(super) fn one_ledger_each() -> Error {
    Error::usage(
        "`--state-file` names one ledger, and each of several configurations has one of its own",
    )
    .hint("leave it out, and give each configuration a `state_file`")
}

fn run_one(args: &RunArgs, file: &Path, times: Intervals) -> Result<u8> {
    let config_of = changed_at(file);
    let config = Config::load(file, Utc::now())?;
    if args.dry_run {
        let _log = logging::start(&args.log_options(None))?;
        return rehearse(args, file, config, times);
    }
    let chosen = chosen_ledger(args, &config)?;
    let path = chosen.path.clone();
    let bottom = Bottom::new();
    let log = logging::start(&args.log_options(bottom.clone()))?;
    // Whoever has not got the ledger writes nothing into a log that its owner may be rotating.
    let lock = ledger::lock(&path)?;
    warn_of_places(&config, &chosen);
    let ledger = Ledger::open_or_create(&path, true)?.locked_by(lock);
    mention_script(&ledger, args, file)?;
    let every = times.report;
    let engine = Engine::new(config.clone(), times.clone(), ledger)?;
    let roster = Roster::of_one(&engine, file, &path);
    let page = page_of(args, &roster)?;
    for sentence in progress::beginning(&config, &path, &engine.before()?) {
        log::info!("{sentence}");
    }
    let reload: Option<fn()> = if log.is_file() {
        Some(logging::reopen)
    } else {
        None
    };
    let service = Service::hold(&engine, reload)?;
    let reporter = Reporter::start(&engine, bottom.clone(), every, idle_word(args));
    // A run that ends by itself says by its exit status how it went.
    let watchman = if args.once {
        None
    } else {
        Some(Watchman::start(roster, &times)?)
    };
    let ended = if args.once {
        engine.run_once()
    } else {
        engine.run_for_good(&watch(args, file, config_of))
    };
    drop(watchman);
    drop(page);
    drop(service);
    drop(reporter);
    let last = LastWords {
        aside: bottom.is_some() && !log.is_on_terminal(),
    };
    last.say_summary(&engine, ended.is_err());
    last.say_end(
        ended?,
        &engine,
        &config.target_user,
        &ledger_option(args, file),
    )
}

fn idle_word(args: &RunArgs) -> &'static str {
    if args.once {
        "looking for messages"
    } else {
        "watching"
    }
}

fn watch(args: &RunArgs, file: &Path, config_of: Option<SystemTime>) -> Watch {
    Watch {
        config_file: file.to_path_buf(),
        config_of,
        poll: Duration::from_secs(args.poll_interval),
        idle: !args.no_idle,
        ledger_given: args.state_file.is_some(),
        begun_anew: false,
        spread: Duration::ZERO,
    }
}

fn warn_of_places(config: &Config, chosen: &Chosen) {
    for note in config.moved.iter().chain(&chosen.notes) {
        log::warn!("{note}");
    }
}

fn rehearse(args: &RunArgs, file: &Path, config: Config, times: Intervals) -> Result<u8> {
    let chosen = chosen_ledger(args, &config)?;
    warn_of_places(&config, &chosen);
    dry_run(config, times, &chosen.path, args, |ledger| {
        mention_script(ledger, args, file)
    })
}

/// Rehearses one after the other, each under its name.
fn rehearse_each(args: &RunArgs, places: &[PathBuf], times: &Intervals) -> Result<u8> {
    let _log = logging::start(&args.log_options(None))?;
    let mut ends = Ends::default();
    for file in service::some_configurations(places)? {
        say(&format!(
            "{}:\n",
            shown(file.display().to_string().as_bytes())
        ));
        let config = Config::load(&file, Utc::now());
        ends.add(config.and_then(|config| rehearse(args, &file, config, times.clone())));
        say("\n");
    }
    ends.status()
}

/// Runs each configuration in one process.
fn run_each(args: &RunArgs, places: &[PathBuf], times: Intervals) -> Result<u8> {
    // What is wrong with the places at the start is a mistake of whoever starts it.
    service::some_configurations(places)?;
    let log = logging::start(&args.log_options(None))?;
    let on_terminal = log.is_on_terminal();
    let reload: Option<fn()> = match (args.once, on_terminal) {
        (false, false) => Some(logging::reopen),
        _ => None,
    };
    let how = args.clone();
    let intervals = times.clone();
    let begin = Arc::new(move |file: &Path, registry: &Registry| {
        begin_one(&how, file, &intervals, registry)
    });
    let routes = Routes::new(places.to_vec(), args.once, &times, begin);
    let roster = routes.roster();
    let page = page_of(args, &roster)?;
    let reporter = Reporter::of_all(roster.clone(), times.report, idle_word(args));
    let watchman = if args.once {
        None
    } else {
        Some(Watchman::start(roster, &times)?)
    };
    let ends = routes.run(reload)?;
    drop(watchman);
    drop(page);
    drop(reporter);
    let mut all = Ends::default();
    for (_, end) in ends {
        all.add(end.map(|end| match end {
            Ended::Left { .. } => 3,
            Ended::Done | Ended::Stopped | Ended::Outdated => 0,
        }));
    }
    if args.once { all.status() } else { Ok(0) }
}

/// One of several.
fn begin_one(args: &RunArgs, file: &Path, times: &Intervals, registry: &Registry) -> Result<Begun> {
    let config_of = changed_at(file);
    let readers = registry.readers();
    let loaded = Config::load(file, Utc::now());
    let mut config = loaded.inspect_err(|_| readers.is_refused(file))?;
    readers.reads(file, &config.source.host, &config.source_user);
    let older = &mut config.ledger.older;
    older.retain(|place| !registry.is_of_another(file, place));
    let chosen = chosen_ledger(args, &config)?;
    let path = &chosen.path.clone();
    let pair = Pair {
        source_user: config.source_user.clone(),
        target_user: config.target_user.clone(),
    };
    registry.enter(file, pair, path)?;
    let lock = ledger::lock(path)?;
    warn_of_places(&config, &chosen);
    let ledger = Ledger::open_or_create(path, true)?.locked_by(lock);
    mention_script(&ledger, args, file)?;
    let engine = Engine::new(config.clone(), times.clone(), ledger)?;
    for sentence in progress::beginning(&config, path, &engine.before()?) {
        log::info!("{sentence}");
    }
    engine.share(registry.crowd_of(&config.target.host, &config.target_user));
    engine.read_beside(Arc::clone(readers), file);
    let watch = Watch {
        begun_anew: true,
        spread: registry.spread(),
        ..watch(args, file, config_of)
    };
    let (once, option) = (args.once, ledger_option(args, file));
    let run = Arc::clone(&engine);
    let last_words = move |run: &Arc<Engine>, ended: Result<Ended>| {
        let last = LastWords { aside: false };
        last.say_summary(run, ended.is_err());
        let ended = ended?;
        last.say_end(ended, run, &config.target_user, &option)?;
        Ok(ended)
    };
    let go = Box::new(move |on_end: OnEnd| {
        if once {
            on_end.ended(last_words(&run, run.run_once()));
        } else {
            run.run_in_turns(&watch, move |run, ended| {
                on_end.ended(last_words(run, ended))
            });
        }
    });
    Ok(Begun {
        engine,
        state_file: chosen.path,
        go,
    })
}

/// How several of one kind ended.
#[derive(Default)]
struct Ends {
    /// Of those that ended well, the highest.
    status: u8,
    /// The gravest.
    worst: Option<Error>,
}

impl Ends {
    fn add(&mut self, end: Result<u8>) {
        match end {
            Ok(status) => self.status = self.status.max(status),
            Err(e) => {
                let worse = self
                    .worst
                    .as_ref()
                    .is_none_or(|w| e.gravity() > w.gravity());
                self.worst = if worse { Some(e) } else { self.worst.take() };
            }
        }
    }

    fn status(self) -> Result<u8> {
        self.worst.map_or(Ok(self.status), Err)
    }
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

/// The page of these routes, where one is to be served.
fn page_of(args: &RunArgs, roster: &Roster) -> Result<Option<page::Server>> {
    let Some(place) = &args.http else {
        return Ok(None);
    };
    let (roster, args) = (roster.clone(), args.clone());
    let routes = move || {
        let entries = roster.entries();
        entries
            .iter()
            .map(|entry| shown_route(&args, entry))
            .collect()
    };
    page::serve(place, routes).map(Some)
}

fn shown_route(args: &RunArgs, entry: &Entry) -> page::Route {
    let (Some(engine), Some(state_file)) = (&entry.engine, &entry.state_file) else {
        let begins = || Error::connection("no run of it goes on now");
        return page::Route {
            name: entry.name.to_string(),
            ledger: Err(entry.refused.clone().unwrap_or_else(begins)),
        };
    };
    engine.with_config(|config| page::Route {
        name: if entry.name.is_empty() {
            format!("{} from {}", config.target_user, config.source_user)
        } else {
            entry.name.to_string()
        },
        ledger: Ok(page::Watched {
            state_file: state_file.clone(),
            open: Some(engine.when_closed()),
            upload_limit: config.upload_limit_per_day,
            token_file: match &config.target_key {
                Key::TokenFile(file) => Some(file.clone()),
                Key::Password(_) => None,
            },
            files: format!(" {}", ledger_option(args, &entry.file)),
        }),
    })
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
        ledger_option: &str,
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
            Ended::Outdated => Ok(0),
            Ended::Left { pending, failed } => {
                let left = format!(
                    "ended with {} waiting and {failed} failed; `imap-to-gmail status --failed {ledger_option}` says why",
                    counted(pending, "message"),
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
fn mention_script(ledger: &Ledger, args: &RunArgs, file: &Path) -> Result<()> {
    if let Some(script) = import_state::left_behind(ledger)? {
        log::warn!(
            "{} is not taken over yet: if it is of these accounts, `imap-to-gmail import-state {} {}` makes known what the Python script had copied",
            script.display(),
            shell_word(&script.display().to_string()),
            ledger_option(args, file)
        );
    }
    Ok(())
}

/// The option that names the ledger of this run, for the next command.
fn ledger_option(args: &RunArgs, file: &Path) -> String {
    let (option, file) = match &args.state_file {
        Some(path) => ("--state-file", &**path),
        None => ("--config", file),
    };
    format!("{option} {}", shell_word(&file.display().to_string()))
}
