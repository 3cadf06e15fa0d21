//! The script's file, damaged: it is refused in words, and nothing panics.

use std::fs;
use std::path::PathBuf;

use imap_to_gmail::error::Fault as Reach;
use imap_to_gmail::import_state;
use proptest::prelude::*;

use super::{TIME, first_script_file, script_file};

/// A file in a folder of its own.
fn file_with(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sync_state.json");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn a_file_that_ends_too_early_is_refused_wherever_it_ends() {
    for file in [
        script_file(&[("<0@x>", TIME), ("<1@x>", "null")]),
        first_script_file(&["<0@x>", "<1@x>"]),
    ] {
        for end in 0..file.len() {
            let (_dir, path) = file_with(&file.as_bytes()[..end]);
            let error = import_state::read(&path).unwrap_err();
            assert_eq!(error.fault, Reach::Usage);
            assert!(error.message.contains("not JSON at line"), "{error}");
        }
        let (_dir, path) = file_with(file.as_bytes());
        assert_eq!(import_state::read(&path).unwrap().ids.len(), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the file: no panic, and either ids or a sentence with a hint.
    #[test]
    fn a_damaged_file_is_read_or_refused(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, prop::collection::vec(any::<u8>(), 0..4)), 1..4),
        form in any::<bool>(),
    ) {
        let mut bytes = if form {
            script_file(&[("<0@x>", TIME), ("<1@x>", "null"), ("<2@\u{e9}>", TIME)]).into_bytes()
        } else {
            first_script_file(&["<0@x>", "<1@x>", "\\\"<2@x>"]).into_bytes()
        };
        for (at, gone, new) in cuts {
            let at = at.index(bytes.len() + 1);
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, new);
        }
        let (_dir, path) = file_with(&bytes);
        match import_state::read(&path) {
            Ok(state) => prop_assert!(state.ids.len() as u64 + state.unusable <= 8),
            Err(e) => {
                prop_assert_eq!(e.fault, Reach::Usage);
                prop_assert!(e.hint.is_some() && !e.message.contains('\n'), "{}", e);
            }
        }
    }
}
