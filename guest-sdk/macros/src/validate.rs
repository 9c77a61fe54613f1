//! Checks options against the rules of the guest contract, as far as a compiler can: what needs a
//! parser of crons or CEL is left to the host, which says so at the upload.

use std::collections::HashSet;

use proc_macro2::Span;
use syn::{Error, Ident, Result};

use crate::args::Spanned;
use crate::parse::{
    BackoffOptions, CatchUpOption, ConcurrencyOptions, CronOptions, EventOptions, Options, RateLimitOptions,
};
use crate::units;

/// A workflow that keeps the rules, in the units of the contract.
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) events: Vec<Event>,
    pub(crate) crons: Vec<Cron>,
    pub(crate) retries: Option<u32>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) execution_timeout: Option<u64>,
    pub(crate) schedule_timeout: Option<u64>,
    pub(crate) priority: Option<u8>,
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) concurrency: Vec<Concurrency>,
    pub(crate) rate_limits: Vec<RateLimit>,
}

pub(crate) struct Event {
    pub(crate) key_pattern: String,
    pub(crate) filter: Option<String>,
}

pub(crate) struct Cron {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) timezone: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) priority: Option<u8>,
    pub(crate) catch_up: Option<CatchUp>,
    /// Name of a variant.
    pub(crate) overlap: Option<&'static str>,
}

pub(crate) enum CatchUp {
    Skip,
    One,
    All(u64),
}

pub(crate) struct Backoff {
    pub(crate) initial: Option<u64>,
    pub(crate) factor: Option<f64>,
    pub(crate) max: Option<u64>,
    pub(crate) jitter: Option<f64>,
}

pub(crate) struct Concurrency {
    pub(crate) key: Option<String>,
    pub(crate) max_runs: u32,
    /// Name of a variant.
    pub(crate) strategy: &'static str,
}

pub(crate) struct RateLimit {
    pub(crate) key: RateLimitKey,
    pub(crate) units: u32,
    pub(crate) limit: u32,
    pub(crate) window: u64,
}

pub(crate) enum RateLimitKey {
    Static(String),
    Dynamic(String),
}

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Longest key of an event, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// Most crons, and most subscriptions, of one workflow.
const TRIGGERS_MAX: usize = 64;
/// Most concurrency limits of one workflow.
const CONCURRENCY_MAX: usize = 4;
const RETRIES_MAX: u32 = 1000;
const RUNS_MAX: u32 = 1_000_000;
const RATE_MAX: u32 = 1_000_000_000;
const DAY: u64 = 86_400_000;
/// A hundred years, the longest duration.
const DURATION_MAX: u64 = 3_155_760_000_000;

pub(crate) fn validate(options: Options, function: &Ident) -> Result<Definition> {
    let name = match options.name {
        Some(name) => workflow_name(name)?,
        None => {
            let value = function.to_string().trim_start_matches("r#").replace('_', "-");
            workflow_name(Spanned { value, span: function.span() })?
        }
    };
    at_most(&options.events, TRIGGERS_MAX, "event subscriptions", |event| event.pattern.span)?;
    at_most(&options.crons, TRIGGERS_MAX, "crons", |cron| cron.expression.span)?;
    at_most(&options.concurrency, CONCURRENCY_MAX, "concurrency limits", |limit| limit.max_runs.span)?;
    Ok(Definition {
        name,
        events: options.events.into_iter().map(event).collect::<Result<_>>()?,
        crons: crons(options.crons)?,
        retries: options.retries.map(|n| within(n, 0, RETRIES_MAX, "retries")).transpose()?,
        backoff: options.backoff.map(backoff).transpose()?,
        execution_timeout: options.execution_timeout.map(|text| duration(&text, 1, DAY)).transpose()?,
        schedule_timeout: options
            .schedule_timeout
            .map(|text| duration(&text, 1, DURATION_MAX))
            .transpose()?,
        priority: options.priority.map(priority).transpose()?,
        memory_bytes_max: options
            .memory_max
            .map(|text| at(text.span, units::bytes(&text.value)))
            .transpose()?,
        concurrency: options.concurrency.into_iter().map(concurrency).collect::<Result<_>>()?,
        rate_limits: options.rate_limits.into_iter().map(rate_limit).collect::<Result<_>>()?,
    })
}

fn event(event: EventOptions) -> Result<Event> {
    let pattern = event.pattern;
    if pattern.value.is_empty() || pattern.value.len() > KEY_BYTES_MAX {
        let message = format!("a key pattern has from 1 to {KEY_BYTES_MAX} bytes");
        return Err(Error::new(pattern.span, message));
    }
    Ok(Event { key_pattern: pattern.value, filter: event.filter.map(|text| text.value) })
}

fn crons(options: Vec<CronOptions>) -> Result<Vec<Cron>> {
    let mut names = HashSet::new();
    let named = options.into_iter().map(|cron| {
        let span = cron.name.as_ref().map_or(cron.expression.span, |name| name.span);
        let has_name = cron.name.is_some();
        let cron = self::cron(cron)?;
        if !names.insert(cron.name.clone()) {
            let message = match has_name {
                true => format!("two crons are named `{}`", cron.name),
                false => {
                    "two crons have these times: give each a name, as in `name = \"nightly\"`".to_owned()
                }
            };
            return Err(Error::new(span, message));
        }
        Ok(cron)
    });
    named.collect()
}

fn cron(cron: CronOptions) -> Result<Cron> {
    let expression = cron_expression(cron.expression)?;
    let timezone = cron.timezone.map(|text| text.value);
    let name = match cron.name {
        Some(name) => cron_name(name)?,
        None => name_of_times(&expression, timezone.as_deref()),
    };
    Ok(Cron {
        name,
        expression,
        timezone,
        input: cron.input.map(json).transpose()?,
        metadata: cron.metadata,
        priority: cron.priority.map(priority).transpose()?,
        catch_up: cron.catch_up.map(catch_up).transpose()?,
        overlap: cron.overlap.map(|text| variant(&text, OVERLAPS)).transpose()?,
    })
}

const OVERLAPS: &[(&str, &str)] =
    &[("allow", "Allow"), ("skip", "Skip"), ("queue", "Queue"), ("cancel_running", "CancelRunning")];
const STRATEGIES: &[(&str, &str)] =
    &[("queue", "Queue"), ("cancel_running", "CancelRunning"), ("cancel_newest", "CancelNewest")];
const CATCH_UPS: &[(&str, &str)] = &[("skip", "Skip"), ("one", "One")];
const CRON_NAMES: &[&str] =
    &["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];

fn catch_up(option: CatchUpOption) -> Result<CatchUp> {
    match option {
        CatchUpOption::All { window } => Ok(CatchUp::All(duration(&window, 1, DURATION_MAX)?)),
        CatchUpOption::Named(text) => {
            Ok(if variant(&text, CATCH_UPS)? == "One" { CatchUp::One } else { CatchUp::Skip })
        }
    }
}

fn backoff(backoff: BackoffOptions) -> Result<Backoff> {
    Ok(Backoff {
        initial: backoff.initial.map(|text| duration(&text, 0, DURATION_MAX)).transpose()?,
        factor: backoff.factor.map(|n| within(n, 1.0, 100.0, "factor")).transpose()?,
        max: backoff.max.map(|text| duration(&text, 0, DURATION_MAX)).transpose()?,
        jitter: backoff.jitter.map(|n| within(n, 0.0, 1.0, "jitter")).transpose()?,
    })
}

fn concurrency(limit: ConcurrencyOptions) -> Result<Concurrency> {
    Ok(Concurrency {
        key: limit.key.map(|text| text.value),
        max_runs: within(limit.max_runs, 1, RUNS_MAX, "max_runs")?,
        strategy: limit.strategy.map_or(Ok("Queue"), |text| variant(&text, STRATEGIES))?,
    })
}

fn rate_limit(limit: RateLimitOptions) -> Result<RateLimit> {
    let key = match (limit.name, limit.key) {
        (_, Some(key)) => RateLimitKey::Dynamic(key.value),
        (name, None) => RateLimitKey::Static(name.map(|name| name.value).unwrap_or_default()),
    };
    Ok(RateLimit {
        key,
        units: limit.units.map_or(Ok(1), |n| within(n, 1, RUNS_MAX, "units"))?,
        limit: within(limit.limit, 1, RATE_MAX, "limit")?,
        window: duration(&limit.window, 1, DURATION_MAX)?,
    })
}

fn workflow_name(name: Spanned<String>) -> Result<String> {
    let rest = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    self::name(name, "workflow", "[a-z][a-z0-9-]{0,62}", |c| c.is_ascii_lowercase(), rest)
}

fn cron_name(name: Spanned<String>) -> Result<String> {
    let first = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let rest = |c: u8| first(c) || matches!(c, b'.' | b'_' | b'-');
    self::name(name, "cron", "[a-z0-9][a-z0-9._-]{0,62}", first, rest)
}

fn name(
    name: Spanned<String>,
    what: &str,
    rule: &str,
    first: impl Fn(u8) -> bool,
    rest: impl Fn(u8) -> bool,
) -> Result<String> {
    let bytes = name.value.as_bytes();
    let valid = bytes.len() <= NAME_BYTES_MAX
        && bytes.split_first().is_some_and(|(&a, b)| first(a) && b.iter().all(|&c| rest(c)));
    let message = || format!("`{}` cannot name a {what}: names match {rule}", name.value);
    if valid { Ok(name.value) } else { Err(Error::new(name.span, message())) }
}

/// The name of a cron that has none, by what it says: so whoever switched it off has not switched off another
/// one that a later version declares in its place. `0 9 * * MON-FRI` is `0_9_x_x_mon-fri`.
fn name_of_times(expression: &str, timezone: Option<&str>) -> String {
    let words = expression.split_whitespace().chain(timezone).collect::<Vec<_>>().join("_");
    let mut name = String::new();
    for letter in words.trim_start_matches('@').chars() {
        match letter.to_ascii_lowercase() {
            '*' => name.push('x'),
            letter @ ('a'..='z' | '0'..='9' | '-' | '_') => name.push(letter),
            '/' => name.push_str(".."),
            '#' => name.push_str("..."),
            _ => name.push('.'),
        }
    }
    match name.len() {
        ..=NAME_BYTES_MAX => name,
        // FNV-1a.
        _ => {
            let hash = words
                .bytes()
                .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            format!("{}-{hash:08x}", &name[..NAME_BYTES_MAX - 9])
        }
    }
}

fn cron_expression(text: Spanned<String>) -> Result<String> {
    let fields = text.value.split_whitespace().count();
    let is_name = CRON_NAMES.iter().any(|name| name.eq_ignore_ascii_case(text.value.trim()));
    if is_name || (5..=6).contains(&fields) {
        return Ok(text.value);
    }
    let message = format!(
        "`{}` is no cron expression: it has five fields (minute, hour, day of month, month, day of week), \
         six with seconds first, or is one of {}",
        text.value,
        CRON_NAMES.join(", ")
    );
    Err(Error::new(text.span, message))
}

fn json(text: Spanned<String>) -> Result<String> {
    let checked = serde_json::from_str::<serde_json::Value>(&text.value);
    at(text.span, checked.map_err(|error| format!("this is no JSON: {error}")))?;
    Ok(text.value)
}

fn priority(number: Spanned<u8>) -> Result<u8> {
    within(number, 1, 3, "priority")
}

fn duration(text: &Spanned<String>, min: u64, max: u64) -> Result<u64> {
    let value = at(text.span, units::millis(&text.value))?;
    within(Spanned { value, span: text.span }, min, max, "the duration in milliseconds")
}

fn within<T: PartialOrd + std::fmt::Display>(number: Spanned<T>, min: T, max: T, what: &str) -> Result<T> {
    if number.value >= min && number.value <= max {
        return Ok(number.value);
    }
    Err(Error::new(number.span, format!("{what} must be from {min} to {max}")))
}

fn variant(text: &Spanned<String>, variants: &[(&str, &'static str)]) -> Result<&'static str> {
    match variants.iter().find(|(word, _)| *word == text.value) {
        Some((_, variant)) => Ok(variant),
        None => {
            let words: Vec<_> = variants.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            Err(Error::new(text.span, format!("expected one of {}", words.join(", "))))
        }
    }
}

fn at_most<T>(list: &[T], max: usize, what: &str, span: impl Fn(&T) -> Span) -> Result<()> {
    match list.get(max) {
        Some(first_too_many) => Err(Error::new(span(first_too_many), format!("at most {max} {what}"))),
        None => Ok(()),
    }
}

fn at<T>(span: Span, result: std::result::Result<T, String>) -> Result<T> {
    result.map_err(|message| Error::new(span, message))
}
