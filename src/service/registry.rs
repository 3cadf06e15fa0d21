//! What each route of this process has to itself: a name among the others, and a ledger. Not for what it does.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;

use crate::config::{Outline, ledger_place};
use crate::engine::{Crowd, Readers};
use crate::error::{Error, Result, shown};
use crate::threads;

/// For each route.
const SPREAD: Duration = Duration::from_millis(10);
/// New mail waits so long at most because of the others.
const SPREAD_MAX: Duration = Duration::from_secs(20);

/// The accounts of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub source_user: String,
    pub target_user: String,
}

/// The routes of this process.
#[derive(Default)]
pub struct Registry {
    routes: Mutex<Vec<Registered>>,
    /// By server and account.
    crowds: Mutex<HashMap<(String, String), Arc<Crowd>>>,
    readers: Arc<Readers>,
}

struct Registered {
    /// Its configuration.
    file: PathBuf,
    /// Once that is known.
    pair: Option<Pair>,
    name: Arc<str>,
    /// None: it had one, and is about to name another.
    ledger: Option<File>,
}

impl Registry {
    /// What the route of this configuration, which is about to begin, reads and writes: the account at its source, and its
    /// ledger, which is kept for it.
    ///
    /// # Errors
    /// `Usage` when another route has the ledger.
    pub(super) fn take_note_of(&self, file: &Path) -> Result<()> {
        // What comes through a pipe can be read only once: the route itself tells what it reads.
        if !file.is_file() {
            self.readers.is_to_be_read(file);
            self.give_up_ledger(file);
            return Ok(());
        }
        match Outline::of(file, Utc::now()).source {
            Some((user, server)) => self.readers.reads(file, &server, &user),
            None => self.readers.cannot_be_read(file),
        }
        let Ok((place, _)) = ledger_place(file) else {
            // Why there is none is found out, and told, by the route itself.
            self.give_up_ledger(file);
            return Ok(());
        };
        self.reserve(file, &place.path)
    }

    /// Keeps a ledger for the route of this configuration: of several that name one, the first to come here has it.
    ///
    /// # Errors
    /// `Usage` when another route has it.
    fn reserve(&self, file: &Path, ledger: &Path) -> Result<()> {
        // No look at the disk, which may hang: what is reached by several names is found out when it enters.
        let place = File::named(ledger);
        let mut routes = self.routes();
        // What it had before is free, also where it does not get the other one: two routes may swap theirs.
        if let Some(known) = routes.iter_mut().find(|route| route.file == file) {
            known.ledger = None;
        }
        is_nobodys(&routes, file, &place, ledger)?;
        match routes.iter_mut().find(|route| route.file == file) {
            Some(known) => known.ledger = Some(place),
            None => routes.push(Registered {
                file: file.to_path_buf(),
                pair: None,
                name: "".into(),
                ledger: Some(place),
            }),
        }
        Ok(())
    }

    /// Is this file another route's ledger? Nobody looks into that: SQLite's locks on a file go when another
    /// descriptor of the same process is closed (https://www.sqlite.org/howtocorrupt.html, 2.2).
    pub fn is_of_another(&self, file: &Path, ledger: &Path) -> bool {
        let place = File::at(ledger);
        let routes = self.routes();
        let mut others = routes.iter().filter(|route| route.file != file);
        others.any(|route| route.ledger.as_ref().is_some_and(|l| l.is(&place)))
    }

    /// A route enters that is about to begin: this thread, and those that it starts, bear its name from now on.
    ///
    /// # Errors
    /// `Usage` when another route has its ledger.
    pub fn enter(&self, file: &Path, pair: Pair, ledger: &Path) -> Result<()> {
        let place = File::at(ledger);
        let mut routes = self.routes();
        is_nobodys(&routes, file, &place, ledger)?;
        let known = routes.iter().position(|route| route.file == file);
        let before = known.map(|at| routes.swap_remove(at));
        let name = match before {
            Some(before) if before.pair.as_ref() == Some(&pair) => before.name,
            _ => {
                let others: Vec<Arc<str>> = routes.iter().map(|r| Arc::clone(&r.name)).collect();
                name_beside(&pair, file, &others)
            }
        };
        threads::work_for(Some(Arc::clone(&name)));
        routes.push(Registered {
            file: file.to_path_buf(),
            pair: Some(pair),
            name,
            ledger: Some(place),
        });
        Ok(())
    }

    /// Over how long the routes of this process spread what they would do all at once, such as to come again to a server
    /// that has cut them off: a handshake costs it a millisecond or two.
    pub fn spread(&self) -> Duration {
        (SPREAD * self.routes().len() as u32).min(SPREAD_MAX)
    }

    /// What the routes of this process into one account share.
    pub fn crowd_of(&self, server: &str, user: &str) -> Arc<Crowd> {
        let account = (server.to_lowercase(), user.to_lowercase());
        let mut crowds = self.crowds.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(crowds.entry(account).or_default())
    }

    /// Which configuration of this process reads which account.
    pub fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    /// This route, whose run is over, does without its ledger until it enters again.
    pub(super) fn give_up_ledger(&self, file: &Path) {
        if let Some(route) = self.routes().iter_mut().find(|route| route.file == file) {
            route.ledger = None;
        }
    }

    /// Its configuration is no more.
    pub(super) fn leave(&self, file: &Path) {
        self.routes().retain(|route| route.file != file);
        self.readers.leave(file);
    }

    fn routes(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No other route has this ledger.
fn is_nobodys(routes: &[Registered], file: &Path, place: &File, ledger: &Path) -> Result<()> {
    let has_it = |route: &&Registered| {
        route.file != file && route.ledger.as_ref().is_some_and(|l| l.is(place))
    };
    let Some(other) = routes.iter().find(has_it) else {
        return Ok(());
    };
    let [path, this, other] =
        [ledger, file, &other.file].map(|p| shown(p.display().to_string().as_bytes()));
    Err(Error::usage(format!(
        "{this} and {other} have the same ledger, {path}: a ledger is of one configuration"
    ))
    .hint("give one of them a `state_file` of its own, such as \"state_file\": \"second.db\""))
}

/// A file as it was named, and by what it is in truth where that is known: links and folders followed, and its number.
#[derive(Clone, Default)]
struct File {
    named: PathBuf,
    path: Option<PathBuf>,
    number: Option<(u64, u64)>,
}

impl File {
    /// Without a look at the disk.
    fn named(path: &Path) -> File {
        File {
            named: std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
            ..File::default()
        }
    }

    fn at(path: &Path) -> File {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let real = path.canonicalize().ok().or_else(|| {
            let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        });
        File {
            path: real,
            number: fs::metadata(path).map(|m| (m.dev(), m.ino())).ok(),
            ..File::named(path)
        }
    }

    fn is(&self, other: &File) -> bool {
        self.named == other.named
            || self.path.is_some() && self.path == other.path
            || self.number.is_some() && self.number == other.number
    }
}

/// As little as tells a route apart from the others.
fn name_beside(pair: &Pair, file: &Path, others: &[Arc<str>]) -> Arc<str> {
    let Pair {
        source_user,
        target_user,
    } = pair;
    let by_target = format!("{target_user} from {source_user}");
    let by_file = format!("{by_target} ({})", file.display());
    let free = |name: &&String| others.iter().all(|other| **other != ***name);
    let short = [source_user, &by_target].into_iter().find(free);
    shown(short.unwrap_or(&by_file).as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_called_by_as_little_as_tells_it_apart() {
        let registry = Registry::default();
        for (n, (source, target, name)) in [
            ("a@old", "a@gmail", "a@old"),
            ("b@old", "a@gmail", "b@old"),
            ("a@old", "b@gmail", "b@gmail from a@old"),
            // An account on two servers.
            ("a@old", "b@gmail", "b@gmail from a@old (3.json)"),
        ]
        .into_iter()
        .enumerate()
        {
            let pair = Pair {
                source_user: source.into(),
                target_user: target.into(),
            };
            let (file, ledger) = (format!("{n}.json"), format!("{n}.db"));
            // A route that begins anew keeps its name.
            for _ in 0..2 {
                let entered = registry.enter(file.as_ref(), pair.clone(), ledger.as_ref());
                entered.unwrap();
                assert_eq!(threads::route().as_deref(), Some(name));
            }
        }
    }

    #[test]
    fn a_ledger_is_of_one_route_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::default();
        let pair = Pair {
            source_user: "a@old".into(),
            target_user: "a@gmail".into(),
        };
        let [there, other] = ["l.db", "x/../l.db"].map(|name| folder.path().join(name));
        std::fs::create_dir(folder.path().join("x")).unwrap();
        registry
            .enter("a.json".as_ref(), pair.clone(), &there)
            .unwrap();
        let e = registry
            .enter("b.json".as_ref(), pair.clone(), &other)
            .unwrap_err();
        assert!(
            e.message.contains("b.json and a.json have the same ledger"),
            "{e}"
        );
        std::fs::write(&there, "x").unwrap();
        let hard = folder.path().join("hard.db");
        std::fs::hard_link(&there, &hard).unwrap();
        registry
            .enter("a.json".as_ref(), pair.clone(), &there)
            .unwrap();
        let linked = registry.enter("b.json".as_ref(), pair.clone(), &hard);
        assert!(linked.is_err());
        // Two that swap theirs.
        let [first, second] = ["1.db", "2.db"].map(|name| folder.path().join(name));
        registry.reserve("c.json".as_ref(), &first).unwrap();
        registry.reserve("d.json".as_ref(), &second).unwrap();
        assert!(registry.reserve("c.json".as_ref(), &second).is_err());
        registry.reserve("d.json".as_ref(), &first).unwrap();
        registry.reserve("c.json".as_ref(), &second).unwrap();
        registry.leave("a.json".as_ref());
        registry.enter("b.json".as_ref(), pair, &other).unwrap();
    }
}
