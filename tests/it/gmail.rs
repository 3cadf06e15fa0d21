//! The target is Gmail, as the stand-in plays it: its copies, its tokens, its throttles, its refusals.

mod at_the_door;
mod budget;
mod copies;
mod cost;
mod dry_run;
mod ending;
mod faults;
mod killed;
mod limits;
mod outage;
mod outlook;
mod overlap;
mod patience;
mod pipeline;
mod places;
mod progress;
mod reread;
mod sessions;
pub(crate) mod sign_in;
mod tokens;
pub(crate) mod told;
mod watch;
mod whose_copy;
