//! Patterns of schemas are regular expressions of ECMA-262, where classes know ASCII only.

/// The pattern in the words of the engine. What the engine does not know at all, such as look-around, it
/// refuses itself.
pub(super) fn translated(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            translated.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => translated.push_str("[0-9]"),
            Some('D') => translated.push_str("[^0-9]"),
            Some('w') => translated.push_str("[0-9A-Za-z_]"),
            Some('W') => translated.push_str("[^0-9A-Za-z_]"),
            Some('b') => translated.push_str("(?-u:\\b)"),
            Some('B') => translated.push_str("\\B"),
            Some(other) => translated.extend(['\\', other]),
            None => translated.push('\\'),
        }
    }
    translated
}

#[cfg(test)]
mod tests {
    use dormouse_core::pattern::Pattern;

    use super::translated;

    #[test]
    fn classes_are_those_of_ecma() {
        for (pattern, text, expected) in [
            (r"^\d{3}-[\d.]+$", "123-4.5", true),
            (r"^\d$", "٣", false),
            (r"^[\w-]+$", "a_b-c", true),
            (r"^\w$", "ü", false),
            (r"^[^\W]$", "a", true),
            (r"^\W$", "ü", true),
            (r"\\d", r"\d", true),
            (r"^\/a\-b$", "/a-b", true),
            (r"\bcat\b", "a cat sat", true),
            (r"^\u0061$", "a", true),
            (r"^\p{L}$", "ü", true),
        ] {
            let compiled = Pattern::compile(&translated(pattern)).unwrap();
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text}");
        }
    }
}
