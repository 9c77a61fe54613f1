//! Keys of events, and the patterns that subscriptions and waits match them with.

/// Longest key and longest pattern, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Checks the key of an event: from 1 to 256 bytes, without `*` and control characters.
///
/// # Errors
///
/// Says what is wrong with it.
pub fn check_key(key: &str) -> Result<(), InvalidKey> {
    check_text(key)?;
    if key.contains('*') { Err(InvalidKey::Wildcard) } else { Ok(()) }
}

/// Matches whole keys. `*` stands for one or more characters, as many times as it is written;
/// every other character stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPattern(String);

impl KeyPattern {
    /// Reads a pattern: from 1 to 256 bytes, without control characters.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        check_text(text).map(|()| Self(text.to_owned()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The only key that it matches, when it has no `*`.
    #[must_use]
    pub fn as_exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.as_str())
    }

    /// Whether it matches this key, in time proportional to the length of the key.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        match self.0.rsplit_once('*') {
            None => self.0 == key,
            Some((front, end)) => {
                let rest = key.strip_suffix(end).and_then(|key| rest_after(front, key));
                rest.is_some_and(|rest| !rest.is_empty())
            }
        }
    }
}

/// What is left of the key behind a match of the pattern. Each text between two `*` is taken where
/// it first occurs: that leaves most to those behind it, so no choice ever has to be taken back.
fn rest_after<'a>(pattern: &str, key: &'a str) -> Option<&'a str> {
    let mut literals = pattern.split('*');
    let mut rest = key.strip_prefix(literals.next()?)?;
    for literal in literals {
        let mut characters = rest.chars();
        characters.next()?;
        rest = characters.as_str().split_once(literal)?.1;
    }
    Some(rest)
}

fn check_text(text: &str) -> Result<(), InvalidKey> {
    match text.len() {
        0 => Err(InvalidKey::Empty),
        bytes if bytes > KEY_BYTES_MAX => Err(InvalidKey::TooLong { bytes }),
        _ if text.chars().any(char::is_control) => Err(InvalidKey::ControlCharacter),
        _ => Ok(()),
    }
}

/// Why a text is no key of an event, or no pattern of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// There is nothing in it.
    #[error("an event key cannot be empty: name the event, as in `order:created`")]
    Empty,
    /// It is too long.
    #[error("the event key has {bytes} bytes, and at most {KEY_BYTES_MAX} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It has a line break or the like.
    #[error("an event key cannot have control characters such as line breaks")]
    ControlCharacter,
    /// A key has a `*`, which only patterns may.
    #[error("the key of an event cannot have `*`, which stands for other characters in patterns")]
    Wildcard,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, key: &str) -> bool {
        KeyPattern::parse(pattern).unwrap().matches(key)
    }

    #[test]
    fn a_star_stands_for_one_or_more_characters() {
        for (pattern, key, expected) in [
            ("order:created", "order:created", true),
            ("order:created", "order:created2", false),
            ("order:*", "order:created", true),
            ("order:*", "order:", false),
            ("order:*", "orders:1", false),
            ("*", "x", true),
            ("**", "x", false),
            ("**", "xy", true),
            ("*:created", "order:created", true),
            ("*:created", ":created", false),
            ("order:*:paid", "order:7:paid", true),
            ("order:*:paid", "order::paid", false),
            ("order:*:paid", "order:7:paid:8:paid", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "abbc", false),
            ("a*a", "aa", false),
            ("a*a", "aaa", true),
            // Characters, not bytes.
            ("**", "ü", false),
            ("*ü", "üü", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn all_other_characters_stand_for_themselves() {
        for special in ["_", "%", "?", "[a]", ".", "\\", "(", "^", "$", "+", "|"] {
            assert!(matches(special, special));
            assert!(!matches(special, "a"), "{special}");
            assert!(matches(&format!("x{special}*"), &format!("x{special}y")));
            assert!(!matches(&format!("x{special}*"), "xay"), "{special}");
        }
    }

    #[test]
    fn keys_and_patterns_are_bounded_text() {
        let longest = "x".repeat(KEY_BYTES_MAX);
        let too_long = "x".repeat(KEY_BYTES_MAX + 1);
        assert_eq!(check_key(&longest), Ok(()));
        assert!(KeyPattern::parse(&longest).is_ok());
        for (text, error) in [
            ("", InvalidKey::Empty),
            (&too_long, InvalidKey::TooLong { bytes: 257 }),
            ("a\nb", InvalidKey::ControlCharacter),
            ("a\u{7f}", InvalidKey::ControlCharacter),
        ] {
            assert_eq!(check_key(text), Err(error));
            assert_eq!(KeyPattern::parse(text), Err(error));
        }
        assert_eq!(check_key("order:*"), Err(InvalidKey::Wildcard));
    }

    /// The definition of a match, word for word.
    fn naive(pattern: &[char], key: &[char]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (['*', pattern @ ..], [_, key @ ..]) => {
                (0..=key.len()).any(|taken| naive(pattern, &key[taken..]))
            }
            ([a, pattern @ ..], [b, key @ ..]) => a == b && naive(pattern, key),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_exactly_what_its_definition_says(
            pattern in "[ab*ü]{1,8}", key in "[abü]{1,12}"
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &key), naive(&chars(&pattern), &chars(&key)));
        }
    }
}
