//! What tests compare of lists.

use serde_json::Value;

/// One value of each row, such as `/trigger/scheduledAt`; what is no string is written as JSON.
#[must_use]
pub fn column(rows: &[Value], pointer: &str) -> Vec<String> {
    let text = |row: &Value| match row.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => panic!("{pointer} is not in {row:#}"),
    };
    rows.iter().map(text).collect()
}
