//! What was measured and what was wrong, of all servers together.

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::server::Server;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) faults: Vec<String>,
    /// What the program warned of.
    pub(crate) notes: Vec<String>,
}

pub(crate) struct Row(Vec<String>);

impl Row {
    pub(crate) fn of(cells: impl IntoIterator<Item = String>) -> Row {
        Row(cells.into_iter().collect())
    }

    pub(crate) fn new(
        server: &str,
        mode: String,
        mut latencies: Vec<Duration>,
        machine: Duration,
    ) -> Row {
        latencies.sort();
        let times = [
            latencies[0],
            latencies[latencies.len() / 2],
            latencies[latencies.len() - 1],
            machine,
        ];
        let mut cells = vec![server.to_owned(), mode, latencies.len().to_string()];
        cells.extend(times.map(|time| format!("{:.2} s", time.as_secs_f64())));
        Row(cells)
    }
}

/// What each row of `arriving` shows.
pub(crate) const LATENCIES: [&str; 7] = [
    "server",
    "told by",
    "mails",
    "min",
    "median",
    "max",
    "machine's worst pause",
];

impl Report {
    pub(crate) fn add(&mut self, other: Report) {
        self.rows.extend(other.rows);
        self.faults.extend(other.faults);
        self.notes.extend(other.notes);
    }

    /// Adds what the program warned of, and where something was wrong, what the server logged.
    pub(crate) fn finish(&mut self, who: &str, log: &str, server: &dyn Server) {
        let warned = log
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"));
        let lines: Vec<String> = warned.map(|line| format!("{who}: {line}")).collect();
        self.notes.extend(shortened(lines));
        if self.faults.iter().any(|fault| fault.starts_with(who)) {
            let logged = server.log();
            let telling = |line: &&str| {
                !["Info: ", "INFO: ", "DEBUG: "]
                    .iter()
                    .any(|w| line.contains(w))
            };
            let lines = logged.lines().filter(telling);
            let lines = lines.map(|line| format!("{who}, its log: {line}"));
            self.notes.extend(shortened(lines.collect()));
        }
        if std::env::var_os("PROTOCOL").is_some() {
            let kept = std::env::temp_dir().join(format!("{who}.log"));
            fs::write(&kept, log).unwrap();
            self.notes.push(format!("{who}: {}", kept.display()));
        }
    }

    /// Prints the table past the test harness, which would keep it to itself where all is well.
    pub(crate) fn print(&self, head: &[&str]) {
        let head = Row(head.iter().map(ToString::to_string).collect());
        let lines: Vec<&Row> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .map(|row| row.0[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.0.len()).map(width).collect();
        let mut text = String::from("\n");
        for row in lines {
            for (cell, width) in row.0.iter().zip(&widths) {
                text += &format!("{cell:width$}  ");
            }
            text = text.trim_end().to_owned() + "\n";
        }
        for note in &self.notes {
            text += &format!("{note}\n");
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// The first lines of many.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 10;
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("... and {more} more such lines"));
    }
    lines
}
