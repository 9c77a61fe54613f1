//! Metadata: pairs of name and value that runs, events and triggers carry, and that runs inherit.

use std::collections::BTreeMap;

use crate::bounds::{METADATA_NAME_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};

/// Pairs of name and value, sorted by name, each name once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Sorts pairs that are known to be within their bounds; of two with one name the later one stays.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        Self(map.into_iter().collect())
    }

    /// Takes in pairs from outside; of two with one name the later one stays.
    ///
    /// # Errors
    ///
    /// Says which bound they break.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidMetadata> {
        let metadata = Self::new(pairs).counted()?;
        for (name, value) in &metadata.0 {
            if !(1..=METADATA_NAME_BYTES_MAX).contains(&name.len()) {
                return Err(InvalidMetadata::NameLength { name: name.clone() });
            }
            if value.len() > METADATA_VALUE_BYTES_MAX {
                return Err(InvalidMetadata::ValueLength { name: name.clone() });
            }
        }
        Ok(metadata)
    }

    /// These pairs, over those of `inherited`.
    ///
    /// # Errors
    ///
    /// Says that they are too many together.
    pub fn over(self, inherited: &Self) -> Result<Self, InvalidMetadata> {
        Self::new(inherited.0.iter().cloned().chain(self.0)).counted()
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether it holds every one of these pairs.
    #[must_use]
    pub fn contains_all(&self, wanted: &[(String, String)]) -> bool {
        wanted.iter().all(|pair| self.0.binary_search(pair).is_ok())
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn counted(self) -> Result<Self, InvalidMetadata> {
        match self.0.len() {
            count if count > METADATA_PAIRS_MAX => Err(InvalidMetadata::TooManyPairs { count }),
            _ => Ok(self),
        }
    }
}

/// Why pairs cannot be the metadata of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// There are too many of them.
    #[error(
        "there are {count} pairs of metadata; at most {METADATA_PAIRS_MAX} are allowed, inherited ones included"
    )]
    TooManyPairs {
        /// How many, inherited ones included.
        count: usize,
    },
    /// A name is empty or too long.
    #[error("a name in metadata has from 1 to {METADATA_NAME_BYTES_MAX} bytes; `{name}` has {}", .name.len())]
    NameLength {
        /// Which.
        name: String,
    },
    /// A value is too long.
    #[error("the value of `{name}` in metadata is longer than {METADATA_VALUE_BYTES_MAX} bytes")]
    ValueLength {
        /// Whose.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(numbers: std::ops::Range<usize>) -> Vec<(String, String)> {
        numbers.map(|n| (n.to_string(), "v".to_owned())).collect()
    }

    #[test]
    fn metadata_is_bounded_wherever_it_comes_from() {
        let one = |name: usize, value: usize| Metadata::parse([("n".repeat(name), "v".repeat(value))]);
        assert!(one(128, 1024).is_ok());
        for name in [0, 129] {
            assert!(matches!(one(name, 0), Err(InvalidMetadata::NameLength { .. })), "{name}");
        }
        assert!(matches!(one(1, 1025), Err(InvalidMetadata::ValueLength { .. })));
        assert!(Metadata::parse(numbered(0..64)).is_ok());
        assert_eq!(Metadata::parse(numbered(0..65)), Err(InvalidMetadata::TooManyPairs { count: 65 }));
    }

    #[test]
    fn own_pairs_go_over_inherited_ones_and_count_with_them() {
        let own = Metadata::new([("0".to_owned(), "own".to_owned())]);
        let inherited = Metadata::new(numbered(0..64));
        let both = own.over(&inherited).unwrap();
        assert!(both.contains_all(&[("0".to_owned(), "own".to_owned())]) && both.iter().len() == 64);

        let one_more = Metadata::new([("more".to_owned(), String::new())]);
        assert_eq!(one_more.over(&inherited), Err(InvalidMetadata::TooManyPairs { count: 65 }));
    }
}
