//! `check` against worlds that are broken in one place each: it names the cause and the mend, tries everything else all
//! the same, and changes nothing: that is looked at after every single check here.

mod findings;
mod found;
mod ledger;
mod mounted;
mod places;
mod room;
mod screens;
mod servers;
mod settings;
mod strangers;
mod terminal;
mod token;
