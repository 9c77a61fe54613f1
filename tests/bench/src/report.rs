//! The results: rows with a value, a unit and, where the design names one, a target; as a table
//! for people and as JSON.

use std::fmt::{self, Write};

use serde_json::{Value, json};

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
        Self { name: name.into(), value: Some(value), unit, target: None, note: String::new() }
    }

    /// A number that could not be had, and why.
    pub(crate) fn missing(name: impl Into<String>, unit: Unit, why: impl Into<String>) -> Self {
        Self { name: name.into(), value: None, unit, target: None, note: why.into() }
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

    fn cells(&self, quick: bool) -> [String; 5] {
        let verdict = match self.is_met().filter(|_| !quick) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        [
            self.name.clone(),
            self.value.map_or("not available".to_owned(), |value| self.unit.show(value)),
            self.target.map_or(String::new(), |target| match target {
                Target::AtMost(most) => format!("<= {}", self.unit.show(most)),
                Target::AtLeast(least) => format!(">= {}", self.unit.show(least)),
            }),
            verdict.to_owned(),
            self.note.clone(),
        ]
    }

    fn to_json(&self, quick: bool) -> Value {
        let (at_most, at_least) = match self.target {
            Some(Target::AtMost(most)) => (Some(most), None),
            Some(Target::AtLeast(least)) => (None, Some(least)),
            None => (None, None),
        };
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit.word(),
            "targetAtMost": at_most,
            "targetAtLeast": at_least,
            "met": self.is_met().filter(|_| !quick),
            "note": self.note,
        })
    }
}

impl Unit {
    fn word(self) -> &'static str {
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

    fn show(self, value: f64) -> String {
        format!("{} {}", number(value), self.word())
    }
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

impl Report {
    /// Whether every measurement came to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.sections.iter().all(|section| section.failed.is_none())
    }

    pub(crate) fn to_json(&self) -> Value {
        let sections = self.sections.iter().map(|section| {
            let rows: Vec<_> = section.rows.iter().map(|row| row.to_json(self.quick)).collect();
            json!({"name": section.name, "failed": section.failed, "rows": rows})
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
        let tables: Vec<Vec<[String; 5]>> = self
            .sections
            .iter()
            .map(|section| section.rows.iter().map(|row| row.cells(self.quick)).collect())
            .collect();
        let width = |column: usize| {
            tables.iter().flatten().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
        };
        let [name, value, target, verdict] = [0, 1, 2, 3].map(width);
        for (section, rows) in self.sections.iter().zip(&tables) {
            writeln!(f, "\n{}", section.name)?;
            for [a, b, c, d, e] in rows {
                let mut line = String::new();
                write!(line, "  {a:<name$}  {b:>value$}  {c:>target$}  {d:<verdict$}  {e}")?;
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
            Row::new("disk", 412.0, Unit::Micros),
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

throughput
  runs, 64 clients       7,123 /s  >= 6,000 /s  met     p99 14 ms
  p50                     1.75 ms   <= 1.50 ms  MISSED
  disk                     412 µs
  wake              not available    <= 100 µs          no probe

sleepers
  FAILED: the host ended
";
        assert_eq!(report(false).to_string(), expected);
    }

    #[test]
    fn a_quick_report_judges_nothing() {
        let text = report(true).to_string();
        assert!(text.contains(">= 6,000 /s") && !text.contains("met") && !text.contains("MISSED"), "{text}");
        assert_eq!(report(true).to_json()["sections"][0]["rows"][0]["met"], Value::Null);
    }

    #[test]
    fn json_has_the_plain_numbers() {
        let json = report(false).to_json();
        let expected = json!({
            "name": "p50", "value": 1.75, "unit": "ms", "targetAtMost": 1.5, "targetAtLeast": null,
            "met": false, "note": "",
        });
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
