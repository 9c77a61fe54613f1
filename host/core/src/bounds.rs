//! How large things may be, wherever they come from: what several parts of the host hold guests and
//! callers to. A bound that one part alone knows stands there.

use std::time::Duration;

/// Largest JSON text, in bytes: an input, an output, the payload of an event.
pub const JSON_BYTES_MAX: usize = 1 << 20;

/// Most pairs of metadata.
pub const METADATA_PAIRS_MAX: usize = 64;

/// Longest name in metadata, in bytes.
pub const METADATA_NAME_BYTES_MAX: usize = 128;

/// Longest value in metadata, in bytes.
pub const METADATA_VALUE_BYTES_MAX: usize = 1 << 10;

/// Longest duration: a hundred years.
pub const DURATION_MAX: Duration = Duration::from_millis(3_155_760_000_000);

/// Longest execution timeout: a day.
pub const EXECUTION_TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// How long an idempotency key is remembered when nobody says otherwise: a day.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_hours(24);

/// Largest module, in bytes. Compiling takes a multiple of it in memory.
pub const MODULE_BYTES_MAX: usize = 64 << 20;

/// Least memory that an instance can be limited to, in bytes: one page of WebAssembly.
pub const MEMORY_BYTES_MIN: u64 = 65_536;
