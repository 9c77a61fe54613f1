//! Reads the options of `#[workflow(…)]` into structs that remember where each value stands.

use syn::{Error, Result};

use crate::args::{Arg, Args, Spanned, set_once, unexpected};

type Text = Option<Spanned<String>>;
type Number<T> = Option<Spanned<T>>;

/// What stands in `#[workflow(…)]`.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Text,
    pub(crate) events: Vec<EventOptions>,
    pub(crate) crons: Vec<CronOptions>,
    pub(crate) retries: Number<u32>,
    pub(crate) backoff: Option<BackoffOptions>,
    pub(crate) execution_timeout: Text,
    pub(crate) schedule_timeout: Text,
    pub(crate) priority: Number<u8>,
    pub(crate) memory_max: Text,
    pub(crate) concurrency: Vec<ConcurrencyOptions>,
    pub(crate) rate_limits: Vec<RateLimitOptions>,
}

/// `on_event("pattern", filter = "…")`
pub(crate) struct EventOptions {
    pub(crate) pattern: Spanned<String>,
    pub(crate) filter: Text,
}

/// `cron("expression", …)`
pub(crate) struct CronOptions {
    pub(crate) expression: Spanned<String>,
    pub(crate) name: Text,
    pub(crate) timezone: Text,
    pub(crate) input: Text,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) priority: Number<u8>,
    pub(crate) catch_up: Option<CatchUpOption>,
    pub(crate) overlap: Text,
}

/// `catch_up = "one"` or `catch_up(all = "2h")`
pub(crate) enum CatchUpOption {
    Named(Spanned<String>),
    All { window: Spanned<String> },
}

/// `backoff(initial = "1s", factor = 2.0, max = "1h", jitter = 0.1)`
#[derive(Default)]
pub(crate) struct BackoffOptions {
    pub(crate) initial: Text,
    pub(crate) factor: Number<f64>,
    pub(crate) max: Text,
    pub(crate) jitter: Number<f64>,
}

/// `concurrency(max_runs = 1, key = "…", strategy = "queue")`
pub(crate) struct ConcurrencyOptions {
    pub(crate) max_runs: Spanned<u32>,
    pub(crate) key: Text,
    pub(crate) strategy: Text,
}

/// `rate_limit("name", limit = 100, window = "1m", units = 1)`
pub(crate) struct RateLimitOptions {
    pub(crate) name: Text,
    pub(crate) key: Text,
    pub(crate) units: Number<u32>,
    pub(crate) limit: Spanned<u32>,
    pub(crate) window: Spanned<String>,
}

const WORKFLOW: &[&str] = &[
    "name",
    "on_event",
    "cron",
    "retries",
    "backoff",
    "execution_timeout",
    "schedule_timeout",
    "priority",
    "memory_max",
    "concurrency",
    "rate_limit",
];
const EVENT: &[&str] = &["\"key pattern\"", "filter"];
const CRON: &[&str] =
    &["\"expression\"", "name", "timezone", "input", "metadata", "priority", "catch_up", "overlap"];
const BACKOFF: &[&str] = &["initial", "factor", "max", "jitter"];
const CONCURRENCY: &[&str] = &["max_runs", "key", "strategy"];
const RATE_LIMIT: &[&str] = &["\"name\"", "key", "limit", "window", "units"];

pub(crate) fn parse(args: Args) -> Result<Options> {
    let mut options = Options::default();
    for arg in args.0 {
        let (span, name) = (arg.span(), arg.name().map(ToString::to_string).unwrap_or_default());
        match name.as_str() {
            "on_event" => options.events.push(event(arg)?),
            "cron" => options.crons.push(cron(arg)?),
            "concurrency" => options.concurrency.push(concurrency(arg)?),
            "rate_limit" => options.rate_limits.push(rate_limit(arg)?),
            "name" => set_once(&mut options.name, &name, span, arg.text()?)?,
            "retries" => set_once(&mut options.retries, &name, span, arg.number()?)?,
            "backoff" => set_once(&mut options.backoff, &name, span, backoff(arg)?)?,
            "execution_timeout" => set_once(&mut options.execution_timeout, &name, span, arg.text()?)?,
            "schedule_timeout" => set_once(&mut options.schedule_timeout, &name, span, arg.text()?)?,
            "priority" => set_once(&mut options.priority, &name, span, arg.number()?)?,
            "memory_max" => set_once(&mut options.memory_max, &name, span, arg.text()?)?,
            _ => return Err(unexpected(&arg, "a workflow", WORKFLOW)),
        }
    }
    Ok(options)
}

fn event(arg: Arg) -> Result<EventOptions> {
    let span = arg.span();
    let (mut pattern, mut filter) = (None, None);
    for arg in arg.list() {
        let (span, name) = (arg.span(), arg.name().map(ToString::to_string));
        match name.as_deref() {
            None => set_once(&mut pattern, "key pattern", span, arg.text()?)?,
            Some("filter") => set_once(&mut filter, "filter", span, arg.text()?)?,
            Some(_) => return Err(unexpected(&arg, "`on_event`", EVENT)),
        }
    }
    let pattern =
        pattern.ok_or_else(|| Error::new(span, "`on_event` needs a key pattern: `on_event(\"user:*\")`"))?;
    Ok(EventOptions { pattern, filter })
}

fn cron(arg: Arg) -> Result<CronOptions> {
    let span = arg.span();
    let (mut expression, mut name, mut timezone, mut input) = (None, None, None, None);
    let (mut metadata, mut priority, mut catch_up, mut overlap) = (Vec::new(), None, None, None);
    for arg in arg.list() {
        let (span, option) = (arg.span(), arg.name().map(ToString::to_string));
        match option.as_deref() {
            None => set_once(&mut expression, "expression", span, arg.text()?)?,
            Some("name") => set_once(&mut name, "name", span, arg.text()?)?,
            Some("timezone") => set_once(&mut timezone, "timezone", span, arg.text()?)?,
            Some("input") => set_once(&mut input, "input", span, arg.text()?)?,
            Some("metadata") => metadata.extend(pairs(arg)?),
            Some("priority") => set_once(&mut priority, "priority", span, arg.number()?)?,
            Some("catch_up") => set_once(&mut catch_up, "catch_up", span, self::catch_up(arg)?)?,
            Some("overlap") => set_once(&mut overlap, "overlap", span, arg.text()?)?,
            Some(_) => return Err(unexpected(&arg, "`cron`", CRON)),
        }
    }
    let expression =
        expression.ok_or_else(|| Error::new(span, "`cron` needs an expression: `cron(\"0 9 * * *\")`"))?;
    Ok(CronOptions { expression, name, timezone, input, metadata, priority, catch_up, overlap })
}

fn pairs(arg: Arg) -> Result<Vec<(String, String)>> {
    let pair = |arg: Arg| match arg.name().map(ToString::to_string) {
        Some(name) => Ok((name, arg.text()?.value)),
        None => Err(Error::new(arg.span(), "write `metadata(name = \"value\")`")),
    };
    arg.list().into_iter().map(pair).collect()
}

fn catch_up(arg: Arg) -> Result<CatchUpOption> {
    let Arg::List(name, args) = arg else { return Ok(CatchUpOption::Named(arg.text()?)) };
    let mut args = args.0;
    match args.pop() {
        Some(all @ Arg::Named(..)) if args.is_empty() && all.name().is_some_and(|name| name == "all") => {
            Ok(CatchUpOption::All { window: all.text()? })
        }
        _ => Err(Error::new(name.span(), "write `catch_up(all = \"2h\")`")),
    }
}

fn backoff(arg: Arg) -> Result<BackoffOptions> {
    let mut backoff = BackoffOptions::default();
    for arg in arg.list() {
        let (span, name) = (arg.span(), arg.name().map(ToString::to_string).unwrap_or_default());
        match name.as_str() {
            "initial" => set_once(&mut backoff.initial, &name, span, arg.text()?)?,
            "factor" => set_once(&mut backoff.factor, &name, span, arg.number()?)?,
            "max" => set_once(&mut backoff.max, &name, span, arg.text()?)?,
            "jitter" => set_once(&mut backoff.jitter, &name, span, arg.number()?)?,
            _ => return Err(unexpected(&arg, "`backoff`", BACKOFF)),
        }
    }
    Ok(backoff)
}

fn concurrency(arg: Arg) -> Result<ConcurrencyOptions> {
    let span = arg.span();
    let (mut max_runs, mut key, mut strategy) = (None, None, None);
    for arg in arg.list() {
        let (span, name) = (arg.span(), arg.name().map(ToString::to_string).unwrap_or_default());
        match name.as_str() {
            "max_runs" => set_once(&mut max_runs, &name, span, arg.number()?)?,
            "key" => set_once(&mut key, &name, span, arg.text()?)?,
            "strategy" => set_once(&mut strategy, &name, span, arg.text()?)?,
            _ => return Err(unexpected(&arg, "`concurrency`", CONCURRENCY)),
        }
    }
    let max_runs = max_runs.ok_or_else(|| Error::new(span, "`concurrency` needs `max_runs = …`"))?;
    Ok(ConcurrencyOptions { max_runs, key, strategy })
}

fn rate_limit(arg: Arg) -> Result<RateLimitOptions> {
    let span = arg.span();
    let (mut name, mut key, mut units, mut limit, mut window) = (None, None, None, None, None);
    for arg in arg.list() {
        let (span, option) = (arg.span(), arg.name().map(ToString::to_string));
        match option.as_deref() {
            None => set_once(&mut name, "name", span, arg.text()?)?,
            Some("key") => set_once(&mut key, "key", span, arg.text()?)?,
            Some("units") => set_once(&mut units, "units", span, arg.number()?)?,
            Some("limit") => set_once(&mut limit, "limit", span, arg.number()?)?,
            Some("window") => set_once(&mut window, "window", span, arg.text()?)?,
            Some(_) => return Err(unexpected(&arg, "`rate_limit`", RATE_LIMIT)),
        }
    }
    let (Some(limit), Some(window)) = (limit, window) else {
        return Err(Error::new(span, "`rate_limit` needs `limit = …` and `window = \"…\"`"));
    };
    if name.is_some() == key.is_some() {
        return Err(Error::new(span, "`rate_limit` needs a name or `key = \"…\"`, and not both"));
    }
    Ok(RateLimitOptions { name, key, units, limit, window })
}
