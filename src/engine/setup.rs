//! What a run is told: the configuration, and what follows from it. It may be told otherwise while it goes
//! on, so it is held by whoever works with it and compared with what holds now.

use std::sync::{Arc, PoisonError, Weak};

use super::Engine;
use crate::config::{Config, Intervals, Telling};
use crate::credentials::Credentials;
use crate::folder::Folder;
use crate::ledger::Shared;

pub(super) struct Setup {
    pub(super) config: Config,
    /// A folder of the ledger: what is asked about before it is known which are copied.
    pub(super) first: Folder,
    pub(super) source: Credentials,
    pub(super) target: Credentials,
}

impl Setup {
    /// `before`: what held until now. Its tokens may be newer than their files.
    pub(super) fn new(
        config: Config,
        first: Folder,
        times: &Intervals,
        before: Option<&Setup>,
    ) -> Arc<Setup> {
        let (user, key) = (&config.source_user, &config.source_key);
        let others: Vec<&Credentials> =
            before.iter().flat_map(|b| [&b.source, &b.target]).collect();
        let origin = &config.source.origin;
        let source = Credentials::new(user, key, origin, times.command, &others);
        let (user, key) = (&config.target_user, &config.target_key);
        let others: Vec<&Credentials> = others.into_iter().chain([&source]).collect();
        let origin = &config.target.origin;
        let target = Credentials::new(user, key, origin, times.command, &others);
        Arc::new(Setup {
            config,
            first,
            source,
            target,
        })
    }
}

impl Engine {
    /// Who is told of trouble, as the configuration has it now.
    pub fn telling(&self) -> Arc<Telling> {
        Arc::clone(&self.setup().config.telling)
    }

    /// For those who look at a run, or keep there what they have to remember of it.
    pub fn ledger(&self) -> Arc<Shared> {
        Arc::clone(&self.ledger)
    }

    /// Gone as soon as everything of this run has let go of the ledger.
    pub fn when_closed(&self) -> Weak<()> {
        self.closed.clone()
    }

    /// Looks at the configuration that holds now.
    pub fn with_config<T>(&self, look: impl FnOnce(&Config) -> T) -> T {
        look(&self.setup().config)
    }

    pub(super) fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace_setup(&self, setup: Arc<Setup>) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = setup;
    }
}
