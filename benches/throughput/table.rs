//! What is printed: a table in Markdown, as docs/speed.md has it.

use crate::program::Took;
use crate::relay::{Link, Passed};

/// What is copied, and how far the target is.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) link: Link,
}

pub(crate) fn head() {
    println!(
        "| work | RTT | copier | messages/s | of the floor | flights | MB from source | MB to target, back | fsyncs | CPU ms | peak MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
}

impl Row {
    pub(crate) fn new(work: &str, link: Link) -> Row {
        Row {
            work: work.into(),
            link,
        }
    }

    pub(crate) fn floor(&self, count: usize, took: &Took, passed: Option<(Passed, Passed)>) {
        self.print("floor", count, took, "", passed, "");
    }

    pub(crate) fn ours(
        &self,
        count: usize,
        took: &Took,
        least: &Took,
        passed: Option<(Passed, Passed)>,
        fsyncs: Option<u64>,
    ) {
        let share = 100.0 * least.wall.as_secs_f64() / took.wall.as_secs_f64();
        let fsyncs = fsyncs.map_or_else(|| "not counted".into(), |n| n.to_string());
        self.print(
            "run",
            count,
            took,
            &format!("{share:.0} %"),
            passed,
            &fsyncs,
        );
    }

    fn print(
        &self,
        copier: &str,
        count: usize,
        took: &Took,
        share: &str,
        passed: Option<(Passed, Passed)>,
        fsyncs: &str,
    ) {
        let (flights, from, to) = match passed {
            None => (String::new(), String::new(), String::new()),
            Some((source, target)) => (
                format!("{} / {}", source.flights, target.flights),
                megabytes(source.down),
                format!("{}, {}", megabytes(target.up), megabytes(target.down)),
            ),
        };
        println!(
            "| {} | {} | {copier} | {:.0} | {share} | {flights} | {from} | {to} | {fsyncs} | {:.2} | {:.0} |",
            self.work,
            distance(self.link),
            count as f64 / took.wall.as_secs_f64(),
            took.cpu.as_secs_f64() * 1000.0 / count as f64,
            took.peak as f64 / 1e6,
        );
    }

    /// What the target was told.
    pub(crate) fn commands(&self, commands: &[(String, u64)]) {
        let all: u64 = commands.iter().map(|(_, n)| n).sum();
        let each: Vec<String> = commands
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        println!(
            "{} at {}: {all} commands to the target: {}",
            self.work,
            distance(self.link),
            each.join(", ")
        );
    }
}

pub(crate) fn nothing_new(
    count: usize,
    link: Link,
    took: &Took,
    (source, target): (Passed, Passed),
) {
    println!(
        "\nNothing new among {count} messages at {}: {:.2} s, {} ms of the processor, {} / {} flights, {:.0} MB.",
        distance(link),
        took.wall.as_secs_f64(),
        took.cpu.as_millis(),
        source.flights,
        target.flights,
        took.peak as f64 / 1e6,
    );
}

fn distance(link: Link) -> String {
    let far = match link.round_trip.as_millis() {
        0 => "0".into(),
        far => format!("{far}/{}", far / 2),
    };
    match link.uplink {
        None => far,
        Some(bits) => format!("{far}, {} Mbit/s", bits as f64 / 1e6),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
