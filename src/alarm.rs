//! It says when it breaks: while a route is healthy somebody is pinged (`ping_url`), and when a trouble begins that a person
//! should know of, and when that is over, a command is run (`notify_command`). Not for what is trouble (`engine`) nor for what
//! is healthy (`status`), which are asked.
//!
//! One [`Alarm`] for each route is shown its report again and again by whoever watches over the process; one [`Hands`] for the
//! whole process does what takes time, on a few threads of its own. Nobody waits for either: a look is a glance at the report,
//! and now and then a row of the ledger.
//! ```text
//! hands    what takes time, a few at a time
//! decide   what is to be told, and when
//! ping     the address that is asked for while all is well
//! command  the program that is run, bounded in time and output
//! ```

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use log::{Level, debug, log};

mod command;
mod decide;
mod hands;
mod ping;

pub use hands::Hands;

use crate::config::{Intervals, NotifyCommand, Outline, Telling};
use crate::error::{Error, Result, shown};
use crate::ledger::{Route, Shared};
use crate::message::Time;
use crate::status::RouteReport;
use decide::{Desk, News, Seen};

/// What watches over one route.
pub struct Alarm {
    hands: Arc<Hands>,
    /// Where it is remembered what was told. None: in this process alone.
    ledger: Option<Arc<Shared>>,
    times: Intervals,
    /// Stands in front of each line that it logs.
    name: String,
    state: Mutex<State>,
}

/// Whose mail a trouble is about.
struct Whose {
    source: Option<String>,
    target: Option<String>,
    state_file: Option<String>,
}

#[derive(Default)]
struct State {
    /// The run was seen to go on: before that the ledger tells of the one before.
    begun: bool,
    /// What the ledger remembers; none before the first look.
    desk: Option<Desk>,
    /// What the command is being run for.
    telling: Option<News>,
    /// The command at the last look.
    command: Option<NotifyCommand>,
    ping: ping::Pinger,
}

impl Alarm {
    /// `name`: how the log calls the route, where there are several.
    pub fn new(
        hands: &Arc<Hands>,
        ledger: Arc<Shared>,
        times: &Intervals,
        name: &str,
    ) -> Arc<Alarm> {
        Alarm::remembering_in(Some(ledger), hands, times, name)
    }

    /// For a route of which no run can begin, so that nobody has its ledger.
    pub fn of_refusals(hands: &Arc<Hands>, times: &Intervals, name: &str) -> Arc<Alarm> {
        Alarm::remembering_in(None, hands, times, name)
    }

    fn remembering_in(
        ledger: Option<Arc<Shared>>,
        hands: &Arc<Hands>,
        times: &Intervals,
        name: &str,
    ) -> Arc<Alarm> {
        Arc::new(Alarm {
            hands: Arc::clone(hands),
            ledger,
            times: times.clone(),
            name: name.into(),
            state: Mutex::default(),
        })
    }

    /// Looks at a report of this moment, and begins what there is to do.
    pub fn look(self: &Arc<Alarm>, report: &RouteReport, telling: &Telling, now: Time) {
        let seen = Seen::of(report);
        let begun = {
            let mut state = self.state();
            state.begun |= report.running_since.is_some();
            state.begun
        };
        if !begun {
            return;
        }
        self.ping_if_due(telling.ping_url.as_ref(), seen.is_proven());
        self.tell_if_due(&seen, &whose(report), telling.notify_command.as_ref(), now);
    }

    /// No run of the route can begin, and there is no ledger that could tell of that: what its configuration says is all that
    /// there is.
    pub fn look_at_refusal(
        self: &Arc<Alarm>,
        e: &Error,
        outline: &Outline,
        state_file: Option<&Path>,
        now: Time,
    ) {
        let Some(command) = &outline.notify_command else {
            return;
        };
        let source = outline.source.as_ref();
        let source = source.map(|(user, host)| Route::new(user, host, "", "").source());
        let target = outline.target.as_ref().map(|(user, _)| user.to_lowercase());
        let state_file = state_file.or(outline.probable_ledger.as_deref());
        let state_file = state_file.map(|file| file.display().to_string());
        let [source, target, state_file] =
            [source, target, state_file].map(|text| text.map(|text| shown(text.as_bytes())));
        let whose = Whose {
            source,
            target,
            state_file,
        };
        self.tell_if_due(&Seen::of_refusal(e), &whose, Some(command), now);
    }

    /// A run of the route goes on at last.
    pub fn look_at_beginning(
        self: &Arc<Alarm>,
        report: &RouteReport,
        telling: &Telling,
        now: Time,
    ) {
        let seen = Seen::of_beginning(report);
        self.tell_if_due(&seen, &whose(report), telling.notify_command.as_ref(), now);
    }

    /// Nobody is to be told anything, and the ledger knows it: a look would change nothing.
    pub fn has_nobody_to_tell(&self, telling: &Telling) -> bool {
        let state = self.state();
        telling.ping_url.is_none()
            && telling.notify_command.is_none()
            && state.command.is_none()
            && state.desk.is_some()
    }

    fn tell_if_due(
        self: &Arc<Alarm>,
        seen: &Seen,
        whose: &Whose,
        command: Option<&NotifyCommand>,
        now: Time,
    ) {
        // The ledger says why where it matters, and the next look tells.
        if let Err(e) = self.look_again(seen, whose, command, now) {
            debug!("{}", e.then("what a person is to be told waits"));
        }
    }

    fn look_again(
        self: &Arc<Alarm>,
        seen: &Seen,
        whose: &Whose,
        command: Option<&NotifyCommand>,
        now: Time,
    ) -> Result<()> {
        let mut state = self.state();
        let known = state.desk.take();
        let mut desk = match (known, &self.ledger) {
            (Some(desk), _) => desk,
            (None, Some(ledger)) => Desk::new(ledger.step(|l| l.episodes())?),
            (None, None) => Desk::new(Vec::new()),
        };
        let end = self.look_at_desk(&mut state, &mut desk, seen, whose, command, now);
        // What could not be written is read again.
        state.desk = end.is_ok().then_some(desk);
        end
    }

    fn look_at_desk(
        self: &Arc<Alarm>,
        state: &mut State,
        desk: &mut Desk,
        seen: &Seen,
        whose: &Whose,
        command: Option<&NotifyCommand>,
        now: Time,
    ) -> Result<()> {
        let Some(command) = command else {
            state.command = None;
            // Whoever names a command later is told of what troubles then.
            return self.write(&desk.clear());
        };
        if state
            .command
            .as_ref()
            .is_some_and(|before| before != command)
        {
            desk.try_at_once();
        }
        state.command = Some(command.clone());
        let busy = state.telling.as_ref().map(|news| news.part.as_str());
        self.write(&desk.take_in(seen, busy, self.times.lasting, now))?;
        if busy.is_some() {
            return Ok(());
        }
        let Some(news) = desk.next(seen, self.times.lasting, now) else {
            return Ok(());
        };
        self.write(&desk.begin(&news, self.times.notify_again, now))?;
        let document = news.document(whose);
        state.telling = Some(news);
        let (alarm, command) = (Arc::clone(self), command.clone());
        self.hands
            .run_command(Box::new(move || alarm.run(&command, &document)));
        Ok(())
    }

    /// Runs the command to its end.
    fn run(&self, command: &NotifyCommand, document: &str) {
        let end = command::run(command, document.as_bytes(), self.times.notify, &self.hands);
        let mut state = self.state();
        let Some(news) = state.telling.take() else {
            return;
        };
        match end {
            Ok(()) => {
                let what = if news.is_over() {
                    "that it is over"
                } else {
                    "the trouble"
                };
                let trouble = &news.message;
                self.say(
                    Level::Info,
                    &format!("`notify_command`: `{command}` was told {what}: {trouble}"),
                );
                let changed = state.desk.as_mut().map(|desk| desk.done(&news, Utc::now()));
                // Else it is told once more after a restart.
                if let Some(Err(e)) = changed.map(|changed| self.write(&changed)) {
                    debug!("{}", e.then("that it was told is not on record"));
                }
            }
            Err(e) => {
                let again = "it is tried again later";
                self.say(Level::Warn, &e.in_full(again));
            }
        }
    }

    fn write(&self, changes: &[decide::Change]) -> Result<()> {
        let Some(ledger) = &self.ledger else {
            return Ok(());
        };
        changes.iter().try_for_each(|change| {
            ledger.step(|l| match change {
                decide::Change::Keep(episode) => l.keep_episode(episode),
                decide::Change::Forget(part) => l.forget_episode(part),
            })
        })
    }

    fn say(&self, level: Level, sentence: &str) {
        if self.name.is_empty() {
            log!(level, "{sentence}");
        } else {
            log!(level, "{}: {sentence}", self.name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whose(report: &RouteReport) -> Whose {
    Whose {
        source: report.source.as_ref().map(ToString::to_string),
        target: report.target.as_ref().map(ToString::to_string),
        state_file: Some(report.state_file.to_string()),
    }
}
