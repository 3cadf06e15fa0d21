//! Mail per day as a small bar chart: where each bar stands, and the same in words. Not for how it is drawn: that is in
//! templates/.

use chrono::NaiveDate;

use crate::text::{counted, thousands};

/// In units of the drawing, which is stretched to its place.
const STEP: u64 = 10;
const BAR: u64 = 8;
const HEIGHT: u64 = 100;
/// The least of a day with mail, so that it is seen beside one with a hundred times as much.
const LEAST: u64 = 4;

/// One day.
pub(super) struct Bar {
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) height: u64,
    pub(super) day: String,
    pub(super) messages: String,
    pub(super) is_today: bool,
}

pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) bar: u64,
    /// `1,204 messages in 30 days; most on 12 November: 340; today: 3`
    pub(super) words: String,
    pub(super) first: String,
    /// All bars as one outline, where there is no room for more.
    pub(super) outline: String,
}

impl Chart {
    pub(super) fn of(days: &[(NaiveDate, u64)]) -> Chart {
        let most = days.iter().map(|(_, n)| *n).max().unwrap_or(0);
        let last = days.len().saturating_sub(1);
        let bar = |(at, (day, n)): (usize, &(NaiveDate, u64))| {
            // Wider than 64 bits: nothing that a ledger says makes it overflow.
            let height = u128::from(*n) * u128::from(HEIGHT) / u128::from(most.max(1));
            let height = u64::try_from(height).unwrap_or(HEIGHT);
            let height = if *n == 0 { 0 } else { height.max(LEAST) };
            Bar {
                x: at as u64 * STEP + (STEP - BAR) / 2,
                y: HEIGHT - height,
                height,
                day: named(*day),
                messages: thousands(*n),
                is_today: at == last,
            }
        };
        let bars: Vec<Bar> = days.iter().enumerate().map(bar).collect();
        let outline = bars.iter().filter(|bar| bar.height > 0).map(|bar| {
            let Bar { x, y, .. } = bar;
            format!("M{x} {HEIGHT}V{y}h{BAR}V{HEIGHT}z")
        });
        Chart {
            width: bars.len() as u64 * STEP,
            height: HEIGHT,
            bar: BAR,
            words: words(days),
            first: days.first().map(|(day, _)| named(*day)).unwrap_or_default(),
            outline: outline.collect(),
            bars,
        }
    }
}

/// `12 November`
fn named(day: NaiveDate) -> String {
    day.format("%-d %B").to_string()
}

fn words(days: &[(NaiveDate, u64)]) -> String {
    let all = days.iter().fold(0u64, |all, (_, n)| all.saturating_add(*n));
    let span = counted(days.len() as u64, "day");
    if all == 0 {
        return format!("no message in {span}");
    }
    // Of several the last one.
    let most = days.iter().max_by_key(|(_, n)| *n);
    let most = most.map_or_else(String::new, |(day, n)| {
        format!("; most on {}: {}", named(*day), thousands(*n))
    });
    let today = days.last().map_or(0, |(_, n)| *n);
    format!(
        "{} in {span}{most}; today: {}",
        counted(all, "message"),
        thousands(today)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn days(counts: &[u64]) -> Vec<(NaiveDate, u64)> {
        let first = NaiveDate::from_ymd_opt(2024, 11, 1).unwrap();
        first.iter_days().zip(counts.iter().copied()).collect()
    }

    #[test]
    fn the_highest_day_is_the_measure_and_every_day_with_mail_is_seen() {
        let chart = Chart::of(&days(&[0, 1, 500, 1000, u64::MAX / 2]));
        let heights: Vec<u64> = chart.bars.iter().map(|b| b.height).collect();
        assert_eq!(heights, [0, 4, 4, 4, 100]);
        let chart = Chart::of(&days(&[0, 1, 2, 4]));
        let heights: Vec<u64> = chart.bars.iter().map(|b| b.height).collect();
        assert_eq!(heights, [0, 25, 50, 100]);
        assert_eq!(chart.width, 40);
        assert_eq!(
            chart.outline,
            "M11 100V75h8V100zM21 100V50h8V100zM31 100V0h8V100z"
        );
        assert!(chart.bars[3].is_today && !chart.bars[2].is_today);
    }

    #[test]
    fn it_is_told_in_words_too() {
        let told = |counts: &[u64]| Chart::of(&days(counts)).words;
        assert_eq!(
            told(&[3, 1200, 1]),
            "1,204 messages in 3 days; most on 2 November: 1,200; today: 1"
        );
        assert_eq!(told(&[0, 0]), "no message in 2 days");
        assert_eq!(told(&[]), "no message in 0 days");
        assert_eq!(Chart::of(&[]).first, "");
    }
}
