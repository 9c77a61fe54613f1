//! The results: rows with a value, a unit and, where the design names one, a target; as a table
//! for people and as JSON.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::against::{Change, Earlier};
use crate::stats::mean;

/// Of the table: name, value, value in syncs, target, verdict, note.
const COLUMNS: usize = 6;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// Sizes are a tenth: targets are shown, but the numbers are not held against them.
    pub(crate) quick: bool,
    pub(crate) cores: usize,
    pub(crate) sections: Vec<Section>,
}

/// What one measurement came to.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
    /// Why the measurement ended early, for people.
    pub(crate) failed: Option<String>,
}

/// One number.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// `None` when it could not be measured; the note says why.
    pub(crate) value: Option<f64>,
    pub(crate) unit: Unit,
    pub(crate) target: Option<Target>,
    pub(crate) note: String,
    /// Whether it says what the disk can do, and nothing of the host.
    pub(crate) is_probe: bool,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Seconds,
    PerSecond,
    Bytes,
    /// Of a million bytes.
    Megabytes,
    Percent,
    /// A quotient of two values of the same unit.
    Ratio,
}

/// The design's target of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        let (name, value, note) = (name.into(), Some(value), String::new());
        Self { name, value, unit, target: None, note, is_probe: false }
    }

    /// A number of the disk, which the other rows of its section are held against.
    pub(crate) fn probe(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { is_probe: true, ..Self::new(name, value, unit) }
    }

    /// A number that could not be had, and why.
    pub(crate) fn missing(name: impl Into<String>, unit: Unit, why: impl Into<String>) -> Self {
        Self { value: None, note: why.into(), ..Self::new(name, 0.0, unit) }
    }

    pub(crate) fn at_most(self, value: f64) -> Self {
        Self { target: Some(Target::AtMost(value)), ..self }
    }

    pub(crate) fn at_least(self, value: f64) -> Self {
        Self { target: Some(Target::AtLeast(value)), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Whether the target is met; `None` without a value or a target.
    fn is_met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(most) => self.value? <= most,
            Target::AtLeast(least) => self.value? >= least,
        })
    }

    /// A time in syncs of the disk, or how often a rate has something happen during one.
    fn syncs(&self, sync_micros: f64) -> Option<f64> {
        let value = self.value.filter(|_| !self.is_probe)?;
        Some(match self.unit {
            Unit::Micros => value / sync_micros,
            Unit::Millis => value * 1e3 / sync_micros,
            Unit::Seconds => value * 1e6 / sync_micros,
            Unit::PerSecond => value * sync_micros / 1e6,
            Unit::Bytes | Unit::Megabytes | Unit::Percent | Unit::Ratio => return None,
        })
    }

    fn cells(&self, quick: bool, sync_micros: Option<f64>) -> [String; COLUMNS] {
        let verdict = match self.is_met().filter(|_| !quick) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        [
            self.name.clone(),
            self.value.map_or("not available".to_owned(), |value| self.unit.show(value)),
            sync_micros.and_then(|micros| self.syncs(micros)).map_or(String::new(), |syncs| {
                let unit = if self.unit == Unit::PerSecond { "a sync" } else { "syncs" };
                format!("{} {unit}", number(syncs))
            }),
            self.target.map_or(String::new(), |target| match target {
                Target::AtMost(most) => format!("<= {}", self.unit.show(most)),
                Target::AtLeast(least) => format!(">= {}", self.unit.show(least)),
            }),
            verdict.to_owned(),
            self.note.clone(),
        ]
    }

    fn to_json(&self, quick: bool, sync_micros: Option<f64>, change: Option<Change>) -> Value {
        let (at_most, at_least) = match self.target {
            Some(Target::AtMost(most)) => (Some(most), None),
            Some(Target::AtLeast(least)) => (None, Some(least)),
            None => (None, None),
        };
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit.word(),
            "syncs": sync_micros.and_then(|micros| self.syncs(micros)),
            "isProbe": self.is_probe,
            "targetAtMost": at_most,
            "targetAtLeast": at_least,
            "met": self.is_met().filter(|_| !quick),
            "note": self.note,
            "change": change.map(|change| {
                json!({"before": change.before, "ratio": change.ratio, "isWorse": change.is_worse})
            }),
        })
    }
}

impl Unit {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::PerSecond => "/s",
            Self::Bytes => "B",
            Self::Megabytes => "MB",
            Self::Percent => "%",
            Self::Ratio => "x",
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        shown(value, self.word())
    }
}

/// A value with the word of its unit.
pub(crate) fn shown(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value))
}

/// Three significant digits or all before the point, with the thousands set apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    let digits = format!("{value:.decimals$}");
    let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.into_iter().fold(grouped, |grouped, fraction| grouped + "." + fraction)
}

impl Section {
    /// What an append of 4 KiB and its sync took meanwhile: the mean of the medians of the probes.
    fn sync_micros(&self) -> Option<f64> {
        let probes: Vec<_> =
            self.rows.iter().filter(|row| row.is_probe).filter_map(|row| row.value).collect();
        (!probes.is_empty()).then(|| mean(&probes))
    }
}

impl Report {
    /// Whether every measurement came to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.sections.iter().all(|section| section.failed.is_none())
    }

    /// With what became of each number since an earlier report, if there is one.
    pub(crate) fn to_json(&self, before: Option<&Earlier>) -> Value {
        let sections = self.sections.iter().map(|section| {
            let sync = section.sync_micros();
            let to_json = |row: &Row| {
                let change = before.and_then(|before| before.change(section, row));
                row.to_json(self.quick, sync, change)
            };
            let rows: Vec<_> = section.rows.iter().map(to_json).collect();
            json!({"name": section.name, "failed": section.failed, "syncMicros": sync, "rows": rows})
        });
        json!({"quick": self.quick, "cores": self.cores, "sections": sections.collect::<Vec<_>>()})
    }
}

/// The table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores, shared with the load generator", self.cores)?;
        if self.quick {
            write!(f, "; quick: a tenth of the sizes, while the targets are those of the full ones")?;
        }
        writeln!(f)?;
        writeln!(f, "a sync is what the disk takes to append 4 KiB durably, in the same minute")?;
        let cells = |section: &Section| {
            let sync = section.sync_micros();
            section.rows.iter().map(|row| row.cells(self.quick, sync)).collect()
        };
        let tables: Vec<Vec<[String; COLUMNS]>> = self.sections.iter().map(cells).collect();
        let width = |column: usize| {
            tables.iter().flatten().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
        };
        let [name, value, syncs, target, verdict] = [0, 1, 2, 3, 4].map(width);
        for (section, rows) in self.sections.iter().zip(&tables) {
            writeln!(f, "\n{}", section.name)?;
            for [a, b, c, d, e, g] in rows {
                let mut line = String::new();
                write!(line, "  {a:<name$}  {b:>value$}  {c:>syncs$}  {d:>target$}  {e:<verdict$}  {g}")?;
                writeln!(f, "{}", line.trim_end())?;
            }
            if let Some(failed) = &section.failed {
                writeln!(f, "  FAILED: {failed}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(quick: bool) -> Report {
        let rows = vec![
            Row::new("runs, 64 clients", 7123.4, Unit::PerSecond).at_least(6000.0).note("p99 14 ms"),
            Row::new("p50", 1.75, Unit::Millis).at_most(1.5),
            Row::probe("disk", 500.0, Unit::Micros),
            Row::missing("wake", Unit::Micros, "no probe").at_most(100.0),
        ];
        let sections = vec![
            Section { name: "throughput".into(), rows, failed: None },
            Section { name: "sleepers".into(), rows: vec![], failed: Some("the host ended".into()) },
        ];
        Report { quick, cores: 2, sections }
    }

    #[test]
    fn the_table_is_aligned_and_holds_each_number_against_its_target() {
        let expected = "\
2 cores, shared with the load generator
a sync is what the disk takes to append 4 KiB durably, in the same minute

throughput
  runs, 64 clients       7,123 /s  3.56 a sync  >= 6,000 /s  met     p99 14 ms
  p50                     1.75 ms   3.50 syncs   <= 1.50 ms  MISSED
  disk                     500 µs
  wake              not available                 <= 100 µs          no probe

sleepers
  FAILED: the host ended
";
        assert_eq!(report(false).to_string(), expected);
    }

    #[test]
    fn a_quick_report_judges_nothing() {
        let text = report(true).to_string();
        assert!(text.contains(">= 6,000 /s") && !text.contains("met") && !text.contains("MISSED"), "{text}");
        assert_eq!(report(true).to_json(None)["sections"][0]["rows"][0]["met"], Value::Null);
    }

    #[test]
    fn json_has_the_plain_numbers() {
        let json = report(false).to_json(None);
        let expected = json!({
            "name": "p50", "value": 1.75, "unit": "ms", "syncs": 3.5, "isProbe": false, "targetAtMost": 1.5,
            "targetAtLeast": null, "met": false, "note": "", "change": null,
        });
        assert_eq!(json["sections"][0]["syncMicros"], 500.0);
        assert_eq!(json["sections"][0]["rows"][1], expected);
        assert_eq!(json["sections"][1]["failed"], "the host ended");
    }

    #[test]
    fn a_target_is_met_when_it_is_just_reached() {
        assert_eq!(Row::new("", 1.5, Unit::Millis).at_most(1.5).is_met(), Some(true));
        assert_eq!(Row::new("", 6000.0, Unit::PerSecond).at_least(6000.0).is_met(), Some(true));
        assert_eq!(Row::new("", 0.01, Unit::PerSecond).at_most(0.0).is_met(), Some(false));
    }

    #[test]
    fn numbers_show_three_digits_and_group_the_thousands() {
        let shown = [0.0, 0.123, 9.994, 12.34, 123.4, 1234.5, 1_234_567.0, -1234.0, -123.0].map(number);
        assert_eq!(shown, ["0", "0.12", "9.99", "12.3", "123", "1,234", "1,234,567", "-1,234", "-123"]);
    }

    #[test]
    fn a_report_with_a_failed_measurement_is_not_complete() {
        assert!(!report(false).is_complete());
    }
}
