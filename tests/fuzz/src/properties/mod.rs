//! What must hold for any bytes at all that come from outside: one function for each door that they come in by.
//!
//! The fuzzer calls them with what it makes up, `tests/fuzz_corpus.rs` with what was kept of that. They see of the
//! program what is public. For all of them: no panic, no overflow, and memory in proportion to what came in.

use std::fmt::Debug;

use peak_alloc::PeakAlloc;

mod api;
mod files;
mod session;
mod texts;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a target may take, beside what it takes for each byte that comes in.
const MEMORY_BASE: usize = 8 << 20;
const MEMORY_PER_BYTE: usize = 200;

#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    run: fn(&[u8]),
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "session",
        run: session::session,
    },
    Target {
        name: "reply",
        run: texts::reply,
    },
    Target {
        name: "refusal",
        run: texts::refusal,
    },
    Target {
        name: "header",
        run: texts::header,
    },
    Target {
        name: "shown",
        run: texts::shown,
    },
    Target {
        name: "name",
        run: texts::name,
    },
    Target {
        name: "size",
        run: texts::size,
    },
    Target {
        name: "api",
        run: api::api,
    },
    Target {
        name: "config",
        run: files::config,
    },
    Target {
        name: "client",
        run: files::client,
    },
    Target {
        name: "token",
        run: files::token,
    },
    Target {
        name: "state",
        run: files::state,
    },
];

pub(crate) fn check(target: &Target, data: &[u8]) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    (target.run)(data);
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(
        peak <= MEMORY_BASE + MEMORY_PER_BYTE * data.len(),
        "{peak} bytes of memory for {} bytes of input",
        data.len()
    );
}

/// Text for people or the log: one line that cannot move the cursor or turn the reading direction, of bounded length.
fn assert_printable(text: &str, max: usize) {
    assert!(
        text.chars().count() <= max,
        "{} characters: {text}",
        text.chars().count()
    );
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!c.is_control() && !turns, "{:?} in {text:?}", c);
    }
}

fn assert_same<T: PartialEq + Debug>(what: &str, a: T, b: T) {
    assert!(a == b, "{what}:\n{a:?}\n{b:?}");
}
