//! Puts data on standard output, as tables or as JSON, and remarks on standard error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Answer;

/// A column of a table: its heading, and where in a row it is found (members, separated by dots).
pub(super) type Column = (&'static str, &'static str);

/// How data is shown.
pub(super) struct Printer {
    json: bool,
}

/// A list as the API answers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    rows: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether data is to be JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// A list, a row for each element, and on standard error how to go on.
    pub(super) fn list(&self, answer: &Answer, columns: &[Column]) -> anyhow::Result<()> {
        if self.json {
            return json(answer.text());
        }
        let list: List = answer.parse()?;
        data(table(columns, &list.rows).trim_end())?;
        if let Some(cursor) = list.next_cursor {
            remark(format_args!("there is more: go on with --cursor {cursor}"));
        }
        Ok(())
    }

    /// One thing, a line for each of its properties.
    pub(super) fn one(&self, answer: &Answer, properties: &[Column]) -> anyhow::Result<()> {
        if self.json {
            return json(answer.text());
        }
        let thing: Box<RawValue> = answer.parse()?;
        data(card(properties, &thing).trim_end())
    }

    /// The rows that one thing has under a name, below it. They are part of its JSON already.
    pub(super) fn part(&self, answer: &Answer, name: &str, columns: &[Column]) -> anyhow::Result<()> {
        let mut members: BTreeMap<String, Box<RawValue>> = answer.parse()?;
        let Some(rows) = members.remove(name).filter(|_| !self.json) else { return Ok(()) };
        let rows: Vec<Box<RawValue>> = serde_json::from_str(rows.get())?;
        if rows.is_empty() {
            return Ok(());
        }
        data(format_args!("\n{}", table(columns, &rows).trim_end()))
    }

    /// The rows of a list as lines of JSON.
    pub(super) fn lines(&self, answer: &Answer) -> anyhow::Result<()> {
        answer.parse::<List>()?.rows.iter().try_for_each(|row| json(row.get()))
    }
}

/// A line of data.
pub(super) fn data(line: impl Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", inert(&line.to_string())).map_err(Into::into)
}

/// A line that is not data. Nothing is lost when nobody reads it.
pub(super) fn remark(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", inert(&line.to_string()));
}

/// A JSON text as data, in its own words.
pub(super) fn json(text: &str) -> anyhow::Result<()> {
    // Between its tokens; within strings it is written out.
    data(text.replace('\r', " "))
}

/// A text in which what would command a terminal is written out, as JSON has it: guests and callers say what is printed.
fn inert(text: &str) -> Cow<'_, str> {
    let commands =
        |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t') || is_direction(letter);
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let escaped = |letter: char| match commands(letter) {
        true => format!("\\u{:04x}", u32::from(letter)),
        false => letter.into(),
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Whether it turns the order of the letters that follow.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines behind something else: none of them looks like a line of its own.
pub(super) fn indented(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { Cow::Owned(text.replace('\n', "\n    ")) } else { Cow::Borrowed(text) }
}

/// Rows in aligned columns below their headings.
pub(super) fn table(columns: &[Column], rows: &[Box<RawValue>]) -> String {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|(_, path)| cell(row, path)).collect());
    aligned(&std::iter::once(headings).chain(cells).collect::<Vec<_>>())
}

/// The properties of one thing, a line each.
pub(super) fn card(properties: &[Column], thing: &RawValue) -> String {
    let line = |(heading, path): &Column| vec![(*heading).to_owned(), cell(thing, path)];
    aligned(&properties.iter().map(line).collect::<Vec<_>>())
}

fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// What a row holds at a path: strings without quotation marks, `-` for nothing, the rest as JSON.
fn cell(value: &RawValue, path: &str) -> String {
    let text = value.get();
    let (member, rest) = path.split_once('.').unwrap_or((path, ""));
    if !member.is_empty() {
        let members: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(text).ok();
        let inner = members.as_ref().and_then(|members| members.get(member));
        return inner.map_or_else(|| "-".to_owned(), |inner| cell(inner, rest));
    }
    match text {
        "null" => "-".to_owned(),
        _ => {
            let text = serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
            text.replace('\n', "\\n").replace('\t', "\\t")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn tables_are_aligned_and_end_without_spaces() {
        let rows = [
            raw(r#"{"name":"mail","counts":{"failed":12345678901234567890123},"next":null}"#),
            raw(r#"{"name":"größe","counts":{},"next":[1, 2]}"#),
        ];
        let table = table(&[("NAME", "name"), ("FAILED", "counts.failed"), ("NEXT", "next")], &rows);
        assert_eq!(
            table,
            "NAME   FAILED                   NEXT\n\
             mail   12345678901234567890123  -\n\
             größe  -                        [1, 2]\n"
        );
    }

    #[test]
    fn texts_of_others_command_no_terminal_and_forge_no_lines() {
        assert_eq!(
            inert("\u{1b}[31mred\u{7}\u{9b}2J\r\n\tgr\u{fc}n"),
            "\\u001b[31mred\\u0007\\u009b2J\\u000d\n\tgr\u{fc}n"
        );
        assert_eq!(inert("\u{202e}olleh"), "\\u202eolleh");
        assert_eq!(indented("a\nb"), "a\n    b");
        let row = raw(r#"{"name":"a\nb\tc"}"#);
        assert_eq!(table(&[("NAME", "name")], &[row]), "NAME\na\\nb\\tc\n");
    }

    #[test]
    fn an_empty_list_still_has_headings() {
        assert_eq!(table(&[("ID", "id"), ("KEY", "key")], &[]), "ID  KEY\n");
    }

    #[test]
    fn a_card_has_a_line_for_each_property() {
        let thing = raw(r#"{"id":"a","paused":false}"#);
        assert_eq!(card(&[("id", "id"), ("paused", "paused")], &thing), "id      a\npaused  false\n");
    }
}
