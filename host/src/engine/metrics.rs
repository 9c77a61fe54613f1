//! What the host counts and times, for `/metrics`. On the hot path an observation is a few atomic
//! additions; what the store knows is looked up for each answer of `/metrics`.

use std::time::Duration;

use dormouse_core::run::Status;
use dormouse_core::time::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// All metrics of a host.
pub(crate) struct Metrics {
    registry: Registry,
    runs: Family<StatusLabel, Gauge>,
    sleepers: Gauge,
    held_tasks: Gauge,
    unreadable_crons: Gauge,
    queue_depth: Gauge,
    queue_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    live_instances: Gauge,
    disk_full: Gauge,
    step_time: Histogram,
    commit_time: Histogram,
    batch_commands: Histogram,
    timer_lateness: Histogram,
    snapshot_bytes: Histogram,
    ended: Family<StatusLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

impl StatusLabel {
    fn of(status: Status) -> Self {
        Self { status: status.word() }
    }
}

/// The queue, as the last commit left it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueueState {
    /// Task runs that wait for a slot.
    pub(crate) depth: usize,
    /// Since when the first of them waits.
    pub(crate) oldest: Option<Timestamp>,
    /// Steps that run.
    pub(crate) running: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        // From 10 µs to 84 s.
        let seconds = || Histogram::new(exponential_buckets(0.000_01, 2.0, 24));
        let mut metrics = Self {
            registry: Registry::with_prefix("dormouse"),
            runs: Family::default(),
            sleepers: Gauge::default(),
            held_tasks: Gauge::default(),
            unreadable_crons: Gauge::default(),
            queue_depth: Gauge::default(),
            queue_age: Gauge::default(),
            live_instances: Gauge::default(),
            disk_full: Gauge::default(),
            step_time: seconds(),
            commit_time: seconds(),
            batch_commands: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            timer_lateness: seconds(),
            snapshot_bytes: Histogram::new(exponential_buckets(512.0, 2.0, 16)),
            ended: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("runs", "Runs in the store, by status", self.runs.clone());
        registry.register("runs_ended", "Runs that have ended since the host started", self.ended.clone());
        registry.register("sleepers", "Runs that are nothing but a snapshot", self.sleepers.clone());
        let help = "Tasks that cannot go on for a reason that is not their own";
        registry.register("held_tasks", help, self.held_tasks.clone());
        let help = "Crons that do not fire as this host cannot read them";
        registry.register("unreadable_crons", help, self.unreadable_crons.clone());
        registry.register("queue_depth", "Task runs that wait for a slot", self.queue_depth.clone());
        let help = "How long the first task run in the queue has waited";
        registry.register_with_unit("queue_age", help, Unit::Seconds, self.queue_age.clone());
        registry.register(
            "live_instances",
            "Steps that run, each in an instance",
            self.live_instances.clone(),
        );
        let help = "1 while work is refused as the disk is full, otherwise 0";
        registry.register("disk_full", help, self.disk_full.clone());
        let help = "Time that a step really ran";
        registry.register_with_unit("step", help, Unit::Seconds, self.step_time.clone());
        let help = "Time from the begin of a batch to its durability";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit_time.clone());
        let help = "Commands in one transaction; one without only rang timers";
        registry.register("batch_commands", help, self.batch_commands.clone());
        let help = "How late a timer rang";
        registry.register_with_unit("timer_lateness", help, Unit::Seconds, self.timer_lateness.clone());
        let help = "Size of a snapshot as it is stored";
        registry.register_with_unit("snapshot", help, Unit::Bytes, self.snapshot_bytes.clone());
    }

    pub(super) fn step_ended(&self, ran: Duration) {
        self.step_time.observe(ran.as_secs_f64());
    }

    pub(super) fn committed(&self, took: Duration, commands: usize) {
        self.commit_time.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most some thousand commands")]
        self.batch_commands.observe(commands as f64);
    }

    pub(super) fn timer_rang(&self, late: Duration) {
        self.timer_lateness.observe(late.as_secs_f64());
    }

    pub(super) fn snapshot_taken(&self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a snapshot is far below 2^52 bytes")]
        self.snapshot_bytes.observe(bytes as f64);
    }

    pub(super) fn held_tasks(&self, tasks: usize) {
        self.held_tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }

    pub(super) fn unreadable_crons(&self, crons: usize) {
        self.unreadable_crons.set(i64::try_from(crons).unwrap_or(i64::MAX));
    }

    pub(super) fn run_ended(&self, status: Status) {
        self.ended.get_or_create(&StatusLabel::of(status)).inc();
    }

    /// The metrics in the text format of Prometheus, together with what is so now.
    pub(super) fn text(
        &self,
        counts: &[u64],
        queue: QueueState,
        disk_is_full: bool,
        now: Timestamp,
    ) -> String {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (status, count) in Status::ALL.into_iter().zip(counts) {
            // No run is ever skipped as a whole.
            if status != Status::Skipped {
                self.runs.get_or_create(&StatusLabel::of(status)).set(gauge(*count));
            }
            if status == Status::Sleeping {
                self.sleepers.set(gauge(*count));
            }
        }
        self.queue_depth.set(gauge(queue.depth as u64));
        self.queue_age.set(queue.oldest.map_or(0.0, |since| now.since(since).as_secs_f64()));
        self.live_instances.set(gauge(queue.running as u64));
        self.disk_full.set(i64::from(disk_is_full));
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written down");
        }
        text
    }
}
