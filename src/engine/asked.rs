//! A look at the target that was asked for behind messages on their way. Not for how it is asked, nor for what it shows (`glance`).

use std::collections::HashSet;

use super::index::Given;
use crate::ledger::{IndexMailbox, RowId, Verification, Witness};
use crate::target::Glancing;

/// What was known when the question was asked.
pub(super) struct Before {
    pub(super) index: IndexMailbox,
    pub(super) given: Given,
    pub(super) put_backs: u64,
    pub(super) witnesses: Vec<Witness>,
    pub(super) spare_last: bool,
    /// Copies to be looked at.
    pub(super) copies: Vec<Verification>,
}

/// A question on its way.
pub(super) struct Asked {
    pub(super) before: Before,
    pub(super) samples: HashSet<RowId>,
    pub(super) glancing: Glancing,
    /// So many messages were sent behind it.
    pub(super) behind: usize,
}
