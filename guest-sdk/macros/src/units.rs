//! Durations and sizes written for people.

/// Milliseconds of a text such as `500ms`, `30s`, `5m`, `2h`, `3d` or `1h 30m`.
pub(crate) fn millis(text: &str) -> Result<u64, String> {
    let invalid = || {
        format!(
            "`{text}` is no duration; write it as \"500ms\", \"30s\", \"5m\", \"2h\", \"3d\" or \"1h 30m\""
        )
    };
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(invalid)?;
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(invalid()),
        };
        total = number.checked_mul(factor).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// Bytes of a text such as `64MiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let invalid = || format!("`{text}` is no size; write it as \"64MiB\", \"512KiB\" or \"1GiB\"");
    let (number, unit) = split_number(text.trim()).ok_or_else(invalid)?;
    let factor = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(invalid()),
    };
    number.checked_mul(factor).ok_or_else(invalid)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up() {
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("3d"), Ok(3 * 86_400_000));
        assert_eq!(millis("1h 30m"), Ok(5_400_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in ["", "3", "s", "3 s", "3w", "-1s", "1.5h", "99999999999999999999s", "1é"] {
            assert!(millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        for text in ["64", "64MB", "MiB", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
