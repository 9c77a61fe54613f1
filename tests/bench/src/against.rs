//! Two reports beside each other: the one of an earlier build, as JSON, and the one of now.

use std::fmt::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::report::{Report, Row, Section, Target, Unit, shown};

/// A number that has become worse by more than this part of it is marked. Less is noise.
const WORSE_MAX: f64 = 0.05;

/// Of the table: name, before, after, ratio, mark.
const COLUMNS: usize = 5;

/// A report as `--json` prints it, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Earlier {
    quick: bool,
    sections: Vec<EarlierSection>,
}

#[derive(Debug, Deserialize)]
struct EarlierSection {
    name: String,
    rows: Vec<EarlierRow>,
}

#[derive(Debug, Deserialize)]
struct EarlierRow {
    name: String,
    value: Option<f64>,
    unit: String,
}

/// What became of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    pub(crate) before: f64,
    /// After through before; `None` when it was nothing before.
    pub(crate) ratio: Option<f64>,
    /// Whether it has become worse by more than a twentieth.
    pub(crate) is_worse: bool,
}

impl Earlier {
    /// Reads the report of an earlier run.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it does not hold what `--json` prints.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is no report of `--json`", path.display()))
    }

    /// What became of a number; `None` when there is none before or now.
    pub(crate) fn change(&self, section: &Section, row: &Row) -> Option<Change> {
        let section = self.sections.iter().find(|earlier| earlier.name == section.name)?;
        let earlier = section.rows.iter().find(|earlier| earlier.name == row.name)?;
        let same_unit = earlier.unit == row.unit.word();
        Some(Change::new(row, earlier.value.filter(|_| same_unit)?, row.value?))
    }

    /// Numbers of a section that are there no more.
    fn gone<'a>(&'a self, section: &'a Section) -> impl Iterator<Item = &'a EarlierRow> {
        let earlier = self.sections.iter().filter(|earlier| earlier.name == section.name);
        let is_gone = |earlier: &&EarlierRow| section.rows.iter().all(|row| row.name != earlier.name);
        earlier.flat_map(|earlier| &earlier.rows).filter(is_gone)
    }
}

impl Change {
    fn new(row: &Row, before: f64, after: f64) -> Self {
        let is_worse = match better(row) {
            Some(Better::Less) => after > before * (1.0 + WORSE_MAX),
            Some(Better::More) => after < before * (1.0 - WORSE_MAX),
            None => false,
        };
        Self { before, ratio: (before != 0.0).then(|| after / before), is_worse }
    }
}

/// Which way a number should go.
enum Better {
    Less,
    More,
}

/// By its target, or else by its unit. `None` of what is no merit of the host.
fn better(row: &Row) -> Option<Better> {
    match (row.target, row.unit) {
        _ if row.is_probe => None,
        (Some(Target::AtMost(_)), _) => Some(Better::Less),
        (Some(Target::AtLeast(_)), _) | (None, Unit::PerSecond) => Some(Better::More),
        (None, Unit::Ratio) => None,
        (None, _) => Some(Better::Less),
    }
}

/// The table of two reports, for people.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) before: &'a Earlier,
    pub(crate) after: &'a Report,
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cores, shared with the load generator; before and after", self.after.cores)?;
        if self.before.quick != self.after.quick {
            writeln!(f, "only one of the two is quick: their sizes differ, and so do their numbers")?;
        }
        let tables: Vec<_> = self.after.sections.iter().map(|section| self.lines(section)).collect();
        let width = |column: usize| {
            tables.iter().flatten().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
        };
        let [name, before, after, ratio] = [0, 1, 2, 3].map(width);
        for (section, lines) in self.after.sections.iter().zip(&tables) {
            writeln!(f, "\n{}", section.name)?;
            for [a, b, c, d, e] in lines {
                let mut line = String::new();
                write!(line, "  {a:<name$}  {b:>before$}  {c:>after$}  {d:>ratio$}  {e}")?;
                writeln!(f, "{}", line.trim_end())?;
            }
            if let Some(failed) = &section.failed {
                writeln!(f, "  FAILED: {failed}")?;
            }
        }
        Ok(())
    }
}

impl Comparison<'_> {
    fn lines(&self, section: &Section) -> Vec<[String; COLUMNS]> {
        let now = section.rows.iter().map(|row| {
            let change = self.before.change(section, row);
            let mark = match change {
                Some(Change { is_worse: true, .. }) => "WORSE",
                Some(_) => "",
                None if row.value.is_some() => "new",
                None => &row.note,
            };
            [
                row.name.clone(),
                change.map_or(String::new(), |change| row.unit.show(change.before)),
                row.value.map_or("not available".to_owned(), |value| row.unit.show(value)),
                change.and_then(|change| change.ratio).map_or(String::new(), |ratio| Unit::Ratio.show(ratio)),
                mark.to_owned(),
            ]
        });
        let gone = self.before.gone(section).map(|row| {
            let before = row.value.map_or(String::new(), |value| shown(value, &row.unit));
            [row.name.clone(), before, String::new(), String::new(), "gone".to_owned()]
        });
        now.chain(gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(rows: Vec<Row>) -> Report {
        let section = Section { name: "throughput".into(), rows, failed: None };
        Report { quick: false, cores: 2, sections: vec![section] }
    }

    fn earlier(report: &Report) -> Earlier {
        serde_json::from_value(report.to_json(None)).unwrap()
    }

    #[test]
    fn what_became_worse_by_more_than_a_twentieth_is_marked() {
        let millis = |value| Row::new("", value, Unit::Millis);
        let rate = |value| Row::new("", value, Unit::PerSecond);
        let gain = |value| Row::new("", value, Unit::Ratio).at_least(0.8);
        for (row, before, is_worse) in [
            (millis(1.05), 1.0, false),
            (millis(1.06), 1.0, true),
            (millis(0.5), 1.0, false),
            (rate(95.0), 100.0, false),
            (rate(94.0), 100.0, true),
            (rate(200.0), 100.0, false),
            (gain(0.8), 0.9, true),
            (Row::new("", 2.0, Unit::Ratio), 1.0, false),
            (Row::probe("", 800.0, Unit::Micros), 400.0, false),
        ] {
            let change = Change::new(&row, before, row.value.unwrap());
            assert_eq!(change.is_worse, is_worse, "{row:?} after {before}");
        }
    }

    #[test]
    fn nothing_before_has_no_ratio_but_can_become_worse() {
        let row = Row::new("wake-ups", 3.0, Unit::PerSecond).at_most(0.0);
        assert_eq!(Change::new(&row, 0.0, 3.0), Change { before: 0.0, ratio: None, is_worse: true });
    }

    #[test]
    fn the_table_has_before_after_and_ratio_and_says_what_is_new_or_gone() {
        let before = earlier(&report(vec![
            Row::probe("disk", 400.0, Unit::Micros),
            Row::new("runs", 5000.0, Unit::PerSecond),
            Row::new("p50", 1.0, Unit::Millis),
            Row::new("old", 7.0, Unit::Bytes),
            Row::missing("lost", Unit::Millis, "it hung"),
        ]));
        let after = report(vec![
            Row::probe("disk", 200.0, Unit::Micros),
            Row::new("runs", 10_000.0, Unit::PerSecond),
            Row::new("p50", 1.5, Unit::Millis),
            Row::new("lost", 3.0, Unit::Millis),
            Row::missing("worst", Unit::Millis, "the host hung"),
        ]);
        let expected = "\
2 cores, shared with the load generator; before and after

throughput
  disk     400 µs         200 µs  0.50 x
  runs   5,000 /s      10,000 /s  2.00 x
  p50     1.00 ms        1.50 ms  1.50 x  WORSE
  lost                   3.00 ms          new
  worst            not available          the host hung
  old      7.00 B                         gone
";
        assert_eq!(Comparison { before: &before, after: &after }.to_string(), expected);
    }

    #[test]
    fn json_has_the_change_of_each_number() {
        let before = earlier(&report(vec![Row::new("p50", 1.0, Unit::Millis)]));
        let after = report(vec![Row::new("p50", 1.5, Unit::Millis), Row::new("p99", 2.0, Unit::Millis)]);
        let json = after.to_json(Some(&before));
        let change = json!({"before": 1.0, "ratio": 1.5, "isWorse": true});
        assert_eq!(json["sections"][0]["rows"][0]["change"], change);
        assert_eq!(json["sections"][0]["rows"][1]["change"], json!(null));
    }

    #[test]
    fn numbers_of_another_unit_are_not_compared() {
        let before = earlier(&report(vec![Row::new("p50", 1.0, Unit::Micros)]));
        let after = report(vec![Row::new("p50", 1.5, Unit::Millis)]);
        assert_eq!(before.change(&after.sections[0], &after.sections[0].rows[0]), None);
    }
}
