//! Names of things: a newtype each, so that no function takes two bare strings or numbers.
//!
//! Ids are UUIDs of version 7: they sort by the time at which they were made, which keeps the
//! keys of the store in order. Nothing here makes one up; the caller passes the random bits in.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A fresh id: the time in front, then 74 of the given random bits.
            #[must_use]
            pub fn new(time: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(time.as_millis(), &random).into_uuid())
            }

            /// What sorts before all ids that are made at this time or later, and after all others. No
            /// such id is ever made.
            #[must_use]
            pub fn first_at(time: Timestamp) -> Self {
                let mut bytes = [0; 16];
                bytes[..6].copy_from_slice(&time.as_millis().to_be_bytes()[2..]);
                Self::from_bytes(bytes)
            }

            /// The 16 bytes, in the order in which ids sort.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// The inverse of `to_bytes`.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// When it was made.
            #[must_use]
            pub fn time(self) -> Timestamp {
                let bytes = self.0.as_bytes();
                let mut millis = [0; 8];
                millis[2..].copy_from_slice(&bytes[..6]);
                Timestamp::from_millis(u64::from_be_bytes(millis))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId { text: text.to_owned() })
            }
        }
    };
}

uuid_id!(
    /// One execution of a workflow.
    RunId
);
uuid_id!(
    /// An event that was pushed.
    EventId
);
uuid_id!(
    /// A cron of a workflow.
    CronId
);
uuid_id!(
    /// One run at a time in the future.
    ScheduledId
);

impl RunId {
    /// The id of the run that a cron starts at a nominal time: the same however often it is
    /// computed, so that firing twice is one run.
    ///
    /// The time is in front as in every id; the rest is a mix of the cron's id and the time.
    #[must_use]
    pub fn of_cron(cron: CronId, nominal: Timestamp) -> Self {
        let mut random = [0; 10];
        let mut hash = mix(nominal.as_millis());
        for (i, byte) in cron.to_bytes().into_iter().enumerate() {
            hash = mix(hash ^ (u64::from(byte) << (8 * (i % 8))));
        }
        random[..8].copy_from_slice(&hash.to_be_bytes());
        random[8..].copy_from_slice(&mix(hash).to_be_bytes()[..2]);
        Self::new(nominal, random)
    }
}

/// The finalizer of SplitMix64: a bijection, so distinct inputs stay distinct.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: ids are UUIDs such as 01920b5e-7b1c-7d3e-8f00-000000000001")]
pub struct InvalidId {
    text: String,
}

/// A module: the SHA-256 digest of its bytes, written `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleDigest([u8; 32]);

impl ModuleDigest {
    /// Wraps a digest that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest itself.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModuleDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest { text: text.to_owned() };
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?.as_bytes();
        if hex.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or_else(invalid);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a module digest: expected sha256: and 64 hexadecimal digits")]
pub struct InvalidDigest {
    text: String,
}

/// A base image of a module, what its instances are after `init`: the SHA-256 digest of sizes, bytes and globals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseDigest([u8; 32]);

impl BaseDigest {
    /// Wraps a digest that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest itself.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

/// Longest name of a workflow or a task, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $first:expr, $rest:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let bytes = text.as_bytes();
                let first: fn(u8) -> bool = $first;
                let rest: fn(u8) -> bool = $rest;
                let valid = bytes.len() <= NAME_BYTES_MAX
                    && bytes.split_first().is_some_and(|(&a, b)| first(a) && b.iter().all(|&c| rest(c)));
                if valid {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule, text: text.to_owned() })
                }
            }
        }
    };
}

name!(
    /// Name of a workflow: `[a-z][a-z0-9-]{0,62}`.
    WorkflowName,
    "workflow",
    "[a-z][a-z0-9-]{0,62}",
    |c| c.is_ascii_lowercase(),
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'
);
name!(
    /// Name of a task: `[a-z][a-z0-9-]{0,62}`.
    TaskName,
    "task",
    "[a-z][a-z0-9-]{0,62}",
    |c| c.is_ascii_lowercase(),
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'
);
name!(
    /// Name of a cron: `[a-z0-9][a-z0-9._-]{0,62}`.
    CronName,
    "cron",
    "[a-z0-9][a-z0-9._-]{0,62}",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-')
);

/// A text that cannot be the name of what it should name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot name a {what}: names match {rule}")]
pub struct InvalidName {
    what: &'static str,
    rule: &'static str,
    text: String,
}

/// A task within its run: its index among the tasks of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskIndex(pub u8);

/// A wait of a task run, chosen by the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(pub u64);

/// One version of a workflow, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = RunId::new(Timestamp::from_millis(1), [255; 10]);
        let late = RunId::new(Timestamp::from_millis(2), [0; 10]);
        assert!(early < late);
        assert_eq!(early.time(), Timestamp::from_millis(1));
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(RunId::from_bytes(late.to_bytes()), late);
        let border = RunId::first_at(late.time());
        assert!(early < border && border < late);
        assert_eq!(border.time(), late.time());
    }

    #[test]
    fn a_cron_run_has_one_id_per_nominal_time() {
        let cron = |n| CronId::new(Timestamp::from_millis(5), [n; 10]);
        let at = Timestamp::from_millis;
        assert_eq!(RunId::of_cron(cron(1), at(9)), RunId::of_cron(cron(1), at(9)));
        assert_ne!(RunId::of_cron(cron(1), at(9)), RunId::of_cron(cron(2), at(9)));
        assert_ne!(RunId::of_cron(cron(1), at(9)), RunId::of_cron(cron(1), at(10)));
    }

    #[test]
    fn digests_read_back_and_refuse_other_texts() {
        let digest = ModuleDigest::from_bytes(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in ["", "sha256:", "sha256:00", &digest.to_string()[7..]] {
            assert!(bad.parse::<ModuleDigest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_follow_their_rule() {
        for good in ["a", "send-mail-2", &"a".repeat(63)] {
            assert!(good.parse::<WorkflowName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "2a", "-a", "a_b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<WorkflowName>().is_err(), "{bad}");
        }
        assert!("2024.daily_x-1".parse::<CronName>().is_ok());
    }
}
