//! What each step of a rotation leaves behind, made by hand, and what a restart makes of it.
#![allow(clippy::unwrap_used)]

use tempfile::TempDir;

use super::*;

/// A line as long as every other one here.
fn numbered(n: u32) -> String {
    format!("2024-05-01T12:00:00Z INFO  {n:04}\n")
}

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(numbered).collect()
}

struct Desk(TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> &Desk {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn put_zst(&self, name: &str, text: &str) -> &Desk {
        self.put(name, zstd::encode_all(text.as_bytes(), 3).unwrap())
    }

    /// The log, rotated before it has three lines of ours.
    fn open(&self, max_files: u32) -> Rotated {
        let size = 2 * numbered(0).len() as u64;
        Rotated::open(&self.path("log"), size, max_files).unwrap()
    }

    /// A process that writes these lines and ends.
    fn process(&self, max_files: u32, range: std::ops::Range<u32>) {
        let log = self.open(max_files);
        for n in range {
            log.state().write(numbered(n).into_bytes());
        }
        log.shutdown();
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// All that is kept, oldest first.
    fn kept(&self) -> String {
        let mut out = String::new();
        for n in (1..10).rev() {
            if let Ok(packed) = fs::read(self.path(&format!("log.{n}.zst"))) {
                let text = zstd::decode_all(&*packed).unwrap();
                out.push_str(std::str::from_utf8(&text).unwrap());
            }
        }
        out + &fs::read_to_string(self.path("log")).unwrap()
    }
}

const FULL: &[&str] = &["log", "log.1.zst", "log.2.zst", "log.3.zst"];

#[test]
fn a_shift_that_was_cut_short_goes_on_where_it_stopped() {
    for gap in 1..=3 {
        let desk = Desk::new();
        // Three of four places are taken, and NAME is due.
        let taken = (1..=3).filter(|n| *n != gap).rev();
        for (n, place) in taken.enumerate() {
            let n = n as u32 * 2;
            desk.put_zst(&format!("log.{place}.zst"), &lines(n..n + 2));
        }
        desk.put("log", lines(4..6));
        desk.process(3, 6..7);
        assert_eq!(desk.kept(), lines(0..7), "the gap was at {gap}");
        assert_eq!(desk.files(), FULL);
        // Also when nothing is due.
        fs::remove_file(desk.path(&format!("log.{gap}.zst"))).unwrap();
        let kept = desk.kept();
        desk.process(3, 7..8);
        assert_eq!(desk.kept(), kept + &numbered(7));
        assert_eq!(desk.files(), FULL[..3]);
    }
}

#[test]
fn a_gap_that_somebody_makes_is_filled_and_costs_nothing() {
    let desk = Desk::new();
    let log = desk.open(3);
    for n in 0..8 {
        log.state().write(numbered(n).into_bytes());
    }
    log.shutdown();
    assert_eq!(desk.files(), FULL);
    fs::remove_file(desk.path("log.2.zst")).unwrap();
    log.state().write(numbered(8).into_bytes());
    log.shutdown();
    assert_eq!(desk.kept(), lines(0..2) + &lines(4..9));
    assert_eq!(desk.files(), FULL);
}

#[test]
fn without_a_gap_the_oldest_goes() {
    for max_files in 1..=3 {
        let desk = Desk::new();
        desk.process(max_files, 0..12);
        assert_eq!(desk.kept(), lines(10 - 2 * max_files..12));
        assert_eq!(desk.files().len() as u32, max_files + 1);
    }
}

#[test]
fn what_waits_to_be_compressed_is_finished_at_the_next_start() {
    let whole = zstd::encode_all(lines(4..6).as_bytes(), 3).unwrap();
    type Left = Box<dyn Fn(&Desk)>;
    let left: [(&str, Left); 5] = [
        ("renamed, not opened anew", Box::new(|_| {})),
        (
            "opened anew",
            Box::new(|desk| {
                desk.put("log", "");
            }),
        ),
        ("half compressed", {
            let half = whole[..whole.len() / 2].to_vec();
            Box::new(move |desk| {
                desk.put("log.1.zst.tmp", &half);
            })
        }),
        ("compressed", {
            let whole = whole.clone();
            Box::new(move |desk| {
                desk.put("log.1.zst.tmp", &whole);
            })
        }),
        ("in place", {
            let whole = whole.clone();
            Box::new(move |desk| {
                desk.put("log.1.zst", &whole);
            })
        }),
    ];
    for (step, leave) in &left {
        for more in [1, 6] {
            let desk = Desk::new();
            desk.put_zst("log.3.zst", &lines(0..2))
                .put_zst("log.2.zst", &lines(2..4))
                .put("log.1", lines(4..6));
            leave(&desk);
            desk.process(9, 6..6 + more);
            assert_eq!(desk.kept(), lines(0..6 + more), "{step}");
            assert!(
                desk.files()
                    .iter()
                    .all(|f| f == "log" || f.ends_with(".zst")),
                "{step}: {:?}",
                desk.files()
            );
        }
    }
}

#[test]
fn nothing_is_overwritten_that_somebody_else_put_there() {
    // As logrotate names them.
    let desk = Desk::new();
    desk.put_zst("log.1.zst", &lines(0..2))
        .put("log.1", lines(2..4));
    desk.process(9, 4..5);
    assert_eq!(desk.kept(), lines(0..5), "at the start");

    let desk = Desk::new();
    let log = desk.open(9);
    for n in 0..2 {
        log.state().write(numbered(n).into_bytes());
    }
    fs::rename(desk.path("log"), desk.path("log.1")).unwrap();
    log.reopen_output().unwrap();
    for n in 2..7 {
        log.state().write(numbered(n).into_bytes());
    }
    log.shutdown();
    assert_eq!(desk.kept(), lines(0..7), "while it runs");
    assert_eq!(
        desk.files(),
        ["log", "log.1.zst", "log.2.zst", "log.3.zst"],
        "in the row like any other"
    );

    // A broken file cannot hold what NAME.1 holds.
    let desk = Desk::new();
    desk.put("log.1.zst", "broken").put("log.1", lines(0..2));
    desk.process(9, 2..3);
    assert_eq!(fs::read(desk.path("log.2.zst")).unwrap(), b"broken");
    fs::remove_file(desk.path("log.2.zst")).unwrap();
    assert_eq!(desk.kept(), lines(0..3));

    // It comes while NAME.1 is being compressed; what cannot be packed takes its time.
    let desk = Desk::new();
    let mut noise = vec![0; 30 << 20];
    fastrand::fill(&mut noise);
    desk.put("log.1", &noise).put("theirs", lines(2..4));
    let log = desk.open(9);
    log.state().write(numbered(4).into_bytes());
    while !desk.path("log.1.zst.tmp").exists() {}
    fs::rename(desk.path("theirs"), desk.path("log.1")).unwrap();
    log.shutdown();
    assert_eq!(
        fs::read_to_string(desk.path("log.1")).unwrap(),
        lines(2..4),
        "it stays"
    );
    fs::remove_file(desk.path("log.1.zst")).unwrap();
    desk.process(9, 5..6);
    assert_eq!(desk.kept(), lines(2..6));
}

#[test]
fn a_file_moved_away_is_not_missed() {
    // Before the first line: the one that is open is mended and written to.
    let desk = Desk::new();
    desk.put("log", lines(0..1) + &numbered(7)[..9]);
    let log = desk.open(9);
    fs::rename(desk.path("log"), desk.path("theirs")).unwrap();
    desk.put("log", "another\n");
    log.state().write(numbered(1).into_bytes());
    let theirs = fs::read_to_string(desk.path("theirs")).unwrap();
    assert_eq!((desk.kept(), theirs), ("another\n".into(), lines(0..2)));

    let desk = Desk::new();
    let log = desk.open(9);
    for n in 0..2 {
        log.state().write(numbered(n).into_bytes());
    }
    fs::rename(desk.path("log"), desk.path("theirs")).unwrap();
    log.state().write(numbered(2).into_bytes());
    log.shutdown();
    assert_eq!(desk.files(), ["log", "theirs"]);
    assert_eq!(desk.kept(), numbered(2));
    // One that was shortened in place is not full.
    log.state().write(numbered(3).into_bytes());
    fs::write(desk.path("log"), numbered(3)).unwrap();
    log.state().write(numbered(4).into_bytes());
    assert_eq!(desk.kept(), lines(3..5));
    assert_eq!(desk.files(), ["log", "theirs"]);
}

#[test]
fn a_torn_line_is_cut_off_and_nothing_else() {
    let torn = numbered(2);
    for at in 1..torn.len() {
        let desk = Desk::new();
        desk.put("log", lines(0..1) + &torn[..at]);
        desk.process(9, 1..2);
        assert_eq!(desk.kept(), lines(0..2), "{:?}", &torn[..at]);
    }
    let desk = Desk::new();
    desk.put("log", &torn[..9]);
    desk.process(9, 0..1);
    assert_eq!(desk.kept(), lines(0..1), "alone");

    for foreign in ["a shopping list", "2024 was a good year", "2"] {
        let desk = Desk::new();
        desk.put("log", format!("first\n{foreign}"));
        desk.process(9, 0..1);
        let kept = desk.kept();
        match foreign {
            "2" => assert_eq!(kept, format!("first\n{}", numbered(0))),
            _ => assert_eq!(kept, format!("first\n{foreign}\n{}", numbered(0))),
        }
    }
    // Longer than what is looked at.
    let desk = Desk::new();
    let long = "x".repeat(3 << 20);
    desk.put("log", &long);
    desk.process(9, 0..1);
    assert_eq!(desk.kept(), format!("{long}\n{}", numbered(0)));
}

#[test]
fn a_line_is_never_split() {
    let desk = Desk::new();
    let long = format!("{}\n", "x".repeat(1000));
    let log = desk.open(9);
    for text in [numbered(0), long.clone(), numbered(1)] {
        log.state().write(text.into_bytes());
    }
    log.shutdown();
    assert_eq!(desk.kept(), numbered(0) + &long + &numbered(1));
    assert_eq!(
        desk.files(),
        ["log", "log.1.zst", "log.2.zst"],
        "each of the three lines is in a file of its own"
    );
    let desk = Desk::new();
    let log = desk.open(9);
    log.state().write(long.clone().into_bytes());
    assert_eq!(desk.files(), ["log"], "an empty file is not rotated");
    assert_eq!(desk.kept(), long);
}

#[test]
fn fewer_files_are_kept_when_fewer_are_asked_for() {
    let desk = Desk::new();
    desk.process(5, 0..12);
    assert_eq!(desk.kept(), lines(0..12));
    desk.put("log.9.zst.old", "kept").put("other.9.zst", "kept");
    desk.put("log.01.zst", "kept");
    desk.process(2, 12..13);
    fs::remove_file(desk.path("log.01.zst")).unwrap();
    assert_eq!(desk.kept(), lines(8..13));
    assert_eq!(
        desk.files(),
        [
            "log",
            "log.1.zst",
            "log.2.zst",
            "log.9.zst.old",
            "other.9.zst"
        ]
    );
    desk.put("log.1", "kept so far\n").put("log.1.zst.tmp", "");
    desk.process(0, 13..14);
    assert_eq!(desk.kept(), lines(12..14));
    desk.process(0, 14..17);
    assert_eq!(desk.kept(), lines(16..17), "a full one is emptied");
    assert_eq!(desk.files(), ["log", "log.9.zst.old", "other.9.zst"]);
}

#[test]
fn where_it_cannot_be_rotated_it_grows() {
    let desk = Desk::new();
    // In the way of NAME.1, and no file.
    fs::create_dir(desk.path("log.1")).unwrap();
    let log = desk.open(9);
    for n in 0..7 {
        log.state().write(numbered(n).into_bytes());
    }
    assert_eq!(desk.kept(), lines(0..7));
    fs::remove_dir(desk.path("log.1")).unwrap();
    for n in 7..10 {
        log.state().write(numbered(n).into_bytes());
    }
    log.shutdown();
    assert_eq!(desk.kept(), lines(0..10));
    assert_eq!(desk.files(), ["log", "log.1.zst"], "tried again");
}

#[test]
fn every_file_is_for_its_owner_alone() {
    let desk = Desk::new();
    let mode = |name: &str| fs::metadata(desk.path(name)).unwrap().mode() & 0o777;
    // As the Python script left it.
    desk.put("log", "old\n");
    fs::set_permissions(desk.path("log"), Permissions::from_mode(0o644)).unwrap();
    let log = desk.open(9);
    assert_eq!(mode("log"), 0o600);
    log.state().write(numbered(0).into_bytes());
    fs::rename(desk.path("log"), desk.path("moved")).unwrap();
    log.reopen_output().unwrap();
    assert_eq!(mode("log"), 0o600);
    for n in 1..9 {
        log.state().write(numbered(n).into_bytes());
    }
    log.shutdown();
    for file in desk.files() {
        assert_eq!(mode(&file), 0o600, "{file}");
    }
}

#[test]
fn behind_a_symbolic_link_the_real_file_is_rotated() {
    let desk = Desk::new();
    let disk = Desk::new();
    std::os::unix::fs::symlink(disk.path("log"), desk.path("log")).unwrap();
    desk.process(9, 0..5);
    assert_eq!(desk.files(), ["log"]);
    assert_eq!(disk.files(), ["log", "log.1.zst", "log.2.zst"]);
    assert_eq!(disk.kept(), lines(0..5));
}
