//! One fuzzer for all targets: FUZZ_TARGET says which. Started by `tests/fuzz/run`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

mod properties;

static TARGET: LazyLock<properties::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = properties::TARGETS.iter().find(|t| t.name == name);
    *found.unwrap_or_else(|| panic!("FUZZ_TARGET is `{name}`, which is none of the targets"))
});

fuzz_target!(|data: &[u8]| properties::check(&TARGET, data));
