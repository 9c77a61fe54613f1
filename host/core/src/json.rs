//! JSON as the host takes it in: one rule for every route, checked once where a text becomes a
//! [`Json`], so that whoever reads it later (filters, keys, schemas) reads the same value.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::de::{Deserializer, StrRead};

/// Deepest nesting of arrays and objects: what recursive readers get through on any stack.
pub const JSON_LEVELS_MAX: usize = 128;

/// JSON text that passed [`Json::parse`] on its way in, and is kept digit for digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Takes in a text from outside: JSON of at most [`JSON_LEVELS_MAX`] levels, without numbers
    /// beyond the range of a double and without halves of surrogate pairs.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        check(text).map(|()| Self(text.into()))
    }

    /// Wraps a text that is known to be JSON, such as one that comes out of the store. Those that
    /// older hosts took in may break the rule: whoever reads their value gets an error.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The JSON value `null`.
    #[must_use]
    pub fn null() -> Self {
        Self::trusted("null")
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether another text says the same in the same words: they may differ in white space.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0 || words(&self.0).eq(words(&other.0))
    }

    /// What the text says. Of two members with one name the later one stays.
    ///
    /// # Errors
    ///
    /// When an older host took in a text that breaks the rule of [`Json::parse`].
    pub fn value(&self) -> Result<serde_json::Value, InvalidJson> {
        self.read(std::marker::PhantomData)
    }

    /// Reads the text into another form of its value.
    pub(crate) fn read<T>(
        &self,
        seed: impl for<'a> DeserializeSeed<'a, Value = T>,
    ) -> Result<T, InvalidJson> {
        check(&self.0)?;
        seed.deserialize(&mut reader(&self.0)).map_err(|error| describe(&error))
    }
}

/// The bytes of a JSON text without the white space outside of its strings.
fn words(text: &str) -> impl Iterator<Item = u8> {
    let (mut is_in_string, mut is_escaped) = (false, false);
    text.bytes().filter(move |byte| {
        let counts = is_in_string || !byte.is_ascii_whitespace();
        is_in_string ^= *byte == b'"' && !is_escaped;
        is_escaped = is_in_string && *byte == b'\\' && !is_escaped;
        counts
    })
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no JSON that the host takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJson {
    /// It has too many arrays and objects within each other.
    #[error("it has more than {JSON_LEVELS_MAX} arrays and objects within each other: make it flatter")]
    TooDeep,
    /// A number has no value as a double.
    #[error("{0}: a number must lie in the range of a double, so send this one as a string")]
    NumberOutOfRange(String),
    /// A string has half of a surrogate pair.
    #[error("{0}: `\\ud800` to `\\udfff` stand for characters in pairs only")]
    LoneSurrogate(String),
    /// It is not JSON at all.
    #[error("it is not JSON: {0}")]
    Malformed(String),
}

/// Checks the rule without keeping anything of the value.
fn check(text: &str) -> Result<(), InvalidJson> {
    let mut reader = reader(text);
    let checked = Level(JSON_LEVELS_MAX).deserialize(&mut reader).and_then(|()| reader.end());
    checked.map_err(|error| describe(&error))
}

/// A reader that counts no levels: [`Level`] does.
fn reader(text: &str) -> Deserializer<StrRead<'_>> {
    let mut reader = Deserializer::from_str(text);
    reader.disable_recursion_limit();
    reader
}

const TOO_DEEP: &str = "too deep";

/// `serde_json` tells its errors apart in their text alone; a test holds these words fast.
fn describe(error: &serde_json::Error) -> InvalidJson {
    let text = error.to_string();
    match text.as_str() {
        deep if deep.starts_with(TOO_DEEP) => InvalidJson::TooDeep,
        number if number.starts_with("number out of range") => InvalidJson::NumberOutOfRange(text),
        half if half.contains("hex escape") && !half.starts_with("invalid escape") => {
            InvalidJson::LoneSurrogate(text)
        }
        _ => InvalidJson::Malformed(text),
    }
}

/// Visits every part of a value, so that the reader decodes each number and each string, and knows
/// how many levels are left.
#[derive(Clone, Copy)]
struct Level(usize);

impl Level {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(TOO_DEEP))
    }
}

impl<'a> DeserializeSeed<'a> for Level {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while members.next_key_seed(inner)?.is_some() {
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn json_is_kept_as_the_text_that_came() {
        let text = r#" {"b": 12345678901234567890123, "a": 1.10, "b": [ ], "c": "\ud83d\ude00"} "#;
        assert_eq!(Json::parse(text).unwrap().as_str(), text);
    }

    #[test]
    fn the_deepest_json_is_read_and_a_deeper_one_refused() {
        for levels in [1, 127, JSON_LEVELS_MAX] {
            let text = nested(levels);
            assert!(Json::parse(&text).unwrap().value().is_ok(), "{levels}");
        }
        for levels in [JSON_LEVELS_MAX + 1, 500_000] {
            assert_eq!(Json::parse(&nested(levels)), Err(InvalidJson::TooDeep), "{levels}");
            assert_eq!(Json::trusted(&nested(levels)).value(), Err(InvalidJson::TooDeep), "{levels}");
        }
        let objects = format!("{}1{}", r#"{"a":"#.repeat(129), "}".repeat(129));
        assert_eq!(Json::parse(&objects), Err(InvalidJson::TooDeep));
    }

    #[test]
    fn what_no_reader_can_tell_the_value_of_is_refused_with_how_to_mend_it() {
        for (text, problem) in [
            ("1e400", "send this one as a string"),
            (r#"{"n":5,"c":-1e400}"#, "number out of range at line 1 column"),
            (r#"{"\ud800":1}"#, "in pairs only"),
            (r#""\ud800""#, "in pairs only"),
            (r#""\udc00""#, "in pairs only"),
            (r#""\ud800\u0041""#, "in pairs only"),
            (r#""\ud800x""#, "in pairs only"),
            (r#""\ux""#, "it is not JSON"),
            (r#""\q""#, "it is not JSON: invalid escape"),
            ("", "it is not JSON: EOF"),
            ("[1,]", "it is not JSON"),
            ("1 2", "it is not JSON: trailing characters"),
            ("NaN", "it is not JSON"),
        ] {
            let error = Json::parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        for text in ["1e308", "-0.0", "1e-400", "123456789012345678901234567890", r#""\ud83d\ude00""#] {
            assert!(Json::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn texts_are_the_same_that_differ_in_white_space() {
        let same = |one: &str, other: &str| Json::trusted(one).is_same(&Json::trusted(other));
        assert!(same(r#"{"a": [1, 2]}"#, "{ \"a\":[1,2] }\n"));
        assert!(same(r#"{"a \" b": 1}"#, r#"{"a \" b":1}"#));
        for (one, other) in
            [("1", "2"), (r#""a b""#, r#""ab""#), (r#""\\" "#, r#""\\ ""#), ("[1]", "[1,1]"), ("1.0", "1")]
        {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
