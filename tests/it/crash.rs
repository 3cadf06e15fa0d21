//! Nothing lost and nothing twice when the process is killed, when connections are cut and when the ledger cannot be
//! written: at every point there is, at random moments, and at the worst ones.

mod binary;
pub(crate) mod broken_run;
pub(crate) mod fuse;
mod moments;
pub(crate) mod points;
mod uplink;
pub(crate) mod writes;
