//! What one step may ask of the host, and the checks that all requests share.

use std::time::Duration;

use dormouse_core::bounds::{DURATION_MAX, JSON_BYTES_MAX};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Metadata, Priority};

use super::bindings::types::{HostError, HostErrorCode};

/// Most spawns, most events and most schedules of one step.
const REQUESTS_MAX: usize = 10_000;
/// Most bytes of all requests of one step together: it is held in memory and written in one
/// transaction.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Largest chunk of a stream, and all chunks of one step together.
const CHUNK_BYTES_MAX: usize = 64 << 10;
const CHUNKS_BYTES_MAX: usize = 1 << 20;
/// What a chunk counts for besides its text, as an empty one takes memory and room on disk, too.
const CHUNK_BYTES: usize = 64;

/// What a step has used up.
#[derive(Debug, Default)]
pub(super) struct Budget {
    request_bytes: usize,
    chunk_bytes: usize,
}

impl Budget {
    /// Room for one more request of `bytes` and its metadata, besides the `count` of its kind that
    /// there are.
    pub(super) fn take(
        &mut self,
        what: &str,
        count: usize,
        bytes: usize,
        metadata: &Metadata,
    ) -> Result<(), HostError> {
        if count >= REQUESTS_MAX {
            return Err(exceeded(format!("one step may ask for at most {REQUESTS_MAX} {what}")));
        }
        let taken = self.request_bytes.saturating_add(bytes + metadata.bytes());
        if taken > REQUEST_BYTES_MAX {
            return Err(exceeded(format!("the requests of one step may have {REQUEST_BYTES_MAX} bytes")));
        }
        self.request_bytes = taken;
        Ok(())
    }

    /// Room for a chunk of the stream.
    pub(super) fn take_chunk(&mut self, bytes: usize) -> Result<(), HostError> {
        if bytes > CHUNK_BYTES_MAX {
            return Err(exceeded(format!("a chunk may have {CHUNK_BYTES_MAX} bytes; this has {bytes}")));
        }
        let taken = self.chunk_bytes + bytes + CHUNK_BYTES;
        if taken > CHUNKS_BYTES_MAX {
            return Err(exceeded(format!(
                "one step may publish {CHUNKS_BYTES_MAX} bytes, and each chunk counts for {CHUNK_BYTES} more than its text"
            )));
        }
        self.chunk_bytes = taken;
        Ok(())
    }
}

/// JSON text of at most 1 MiB; the error says what is wrong with it.
pub(super) fn json(text: &str) -> Result<Json, String> {
    if text.len() > JSON_BYTES_MAX {
        return Err(format!("it has {} bytes; at most {JSON_BYTES_MAX} are allowed", text.len()));
    }
    Json::parse(text).map_err(|error| error.to_string())
}

/// The metadata of a request, over that of the run which makes it.
pub(super) fn inherited(pairs: Vec<(String, String)>, run: &Metadata) -> Result<Metadata, HostError> {
    let metadata = Metadata::parse(pairs).and_then(|own| own.over(run));
    metadata.map_err(|problem| invalid(problem.to_string()))
}

pub(super) fn argument(name: &str, text: &str) -> Result<Json, HostError> {
    json(text).map_err(|problem| invalid(format!("{name}: {problem}")))
}

pub(super) fn priority(number: Option<u8>) -> Result<Option<Priority>, HostError> {
    number
        .map(|n| Priority::new(n).ok_or_else(|| invalid(format!("priority: {n} is not one of 1, 2, 3"))))
        .transpose()
}

/// A time in range; the error says that it is not.
pub(super) fn timestamp(millis: u64) -> Result<Timestamp, String> {
    if millis > Timestamp::MAX.as_millis() {
        return Err(format!("{millis} ms lies after the year 9999"));
    }
    Ok(Timestamp::from_millis(millis))
}

/// A duration in range; the error says that it is not.
pub(super) fn duration(millis: u64) -> Result<Duration, String> {
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX {
        return Err(format!("{millis} ms is longer than a hundred years"));
    }
    Ok(duration)
}

pub(super) fn invalid(message: String) -> HostError {
    HostError { code: HostErrorCode::InvalidArgument, message }
}

fn exceeded(message: String) -> HostError {
    HostError { code: HostErrorCode::LimitExceeded, message }
}
