//! One version of a workflow. What its author wrote in it (schema, filters, keys, crons) is compiled once: at
//! the latest when it is needed, and by callers that can wait, before the deciding thread needs it.

use std::sync::{Arc, OnceLock};

use dormouse_core::cel::{KeyExpression, Predicate, Subject};
use dormouse_core::cron::Schedule;
use dormouse_core::event::KeyPattern;
use dormouse_core::id::ModuleDigest;
use dormouse_core::workflow::{DeclaredCron, Json, Metadata, Workflow};

use crate::schema::Schema;

/// What a module says of a workflow, for use.
pub(crate) struct DeployedVersion {
    pub(crate) definition: Arc<Workflow>,
    pub(crate) module: ModuleDigest,
    compiled: OnceLock<Compiled>,
}

/// What a host refuses at upload may be in a store: an older host took it. Whatever does not compile is
/// kept as the problem that it has.
struct Compiled {
    schema: Option<Result<Schema, String>>,
    /// Of the concurrency limits, in the order of the definition; `None` where all runs share one.
    keys: Vec<Option<Result<KeyExpression, String>>>,
    /// Those that compile.
    subscriptions: Vec<Wanted>,
    /// Of the declared crons, in the order of the definition; one that does not parse is found so when
    /// its cron fires.
    schedules: Vec<Option<Arc<Schedule>>>,
}

/// The events that a subscription is about.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) pattern: KeyPattern,
    pub(super) filter: Option<Predicate>,
}

impl DeployedVersion {
    pub(crate) fn new(module: ModuleDigest, definition: Workflow) -> Self {
        Self { definition: Arc::new(definition), module, compiled: OnceLock::new() }
    }

    /// Compiles what there is to compile, so that the deciding thread does not have to.
    pub(crate) fn compile(&self) {
        self.compiled();
    }

    /// Whether inputs have to be held against a schema.
    pub(crate) fn has_schema(&self) -> bool {
        self.definition.input_schema.is_some()
    }

    /// Whether the version takes this input; otherwise where it does not fit.
    pub(crate) fn check_input(&self, input: &Json) -> Result<(), String> {
        match &self.compiled().schema {
            None => Ok(()),
            Some(Ok(schema)) => schema.check(input),
            Some(Err(problem)) => {
                Err(format!("this host cannot use the schema: {problem}; deploy a module with a simpler one"))
            }
        }
    }

    /// The key of a run under each concurrency limit, in the order of the definition. Otherwise what is
    /// wrong with the input or the metadata.
    pub(crate) fn concurrency_keys(&self, input: &Json, metadata: &Metadata) -> Result<Vec<String>, String> {
        let keys = &self.compiled().keys;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let name = &self.definition.name;
        let subject = Subject::of_run(input, metadata);
        let key = |expression: &Option<Result<KeyExpression, String>>| match expression {
            // All runs share the key of a limit without expression.
            None => Ok(String::new()),
            Some(Ok(expression)) => expression.evaluate(&subject).map_err(|error| {
                format!("the concurrency key of `{name}` cannot be computed from it: {error}")
            }),
            Some(Err(problem)) => Err(format!(
                "this host cannot use the concurrency key of `{name}`: {problem}; deploy a module with a simpler one"
            )),
        };
        keys.iter().map(key).collect()
    }

    /// What the declared crons are, with their schedules.
    pub(crate) fn crons(&self) -> impl Iterator<Item = (&DeclaredCron, Option<&Arc<Schedule>>)> {
        self.definition.crons.iter().zip(self.compiled().schedules.iter().map(Option::as_ref))
    }

    pub(super) fn subscriptions(&self) -> &[Wanted] {
        &self.compiled().subscriptions
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| Compiled::of(&self.definition, self.module))
    }
}

impl Compiled {
    /// Compiles a definition. What does not compile is logged here, so once for each start of the host.
    fn of(definition: &Workflow, module: ModuleDigest) -> Self {
        let name = &definition.name;
        let report = |what: &str, problem: &str| {
            tracing::error!(workflow = %name, %module, problem, "{what} of a stored definition cannot be used any more");
        };
        let schema = definition.input_schema.as_ref().map(|schema| {
            Schema::compile(schema)
                .inspect_err(|problem| report("the input schema, and so every input is refused,", problem))
        });
        let key = |text: &String| {
            KeyExpression::compile(text)
                .map_err(|error| error.to_string())
                .inspect_err(|problem| report("a concurrency key, and so every run is refused,", problem))
        };
        let keys = definition.concurrency.iter().map(|limit| limit.key.as_ref().map(key)).collect();
        let wanted = |key_pattern: &str, filter: Option<&str>| {
            let pattern = KeyPattern::parse(key_pattern).map_err(|error| error.to_string())?;
            let filter = filter.map(Predicate::compile).transpose().map_err(|error| error.to_string())?;
            Ok::<_, String>(Wanted { pattern, filter })
        };
        let subscriptions = definition.events.iter().filter_map(|subscription| {
            wanted(&subscription.key_pattern, subscription.filter.as_deref())
                .inspect_err(|problem| report("an event subscription, which so matches nothing,", problem))
                .ok()
        });
        let subscriptions = subscriptions.collect();
        let schedule = |DeclaredCron { spec, .. }: &DeclaredCron| {
            Schedule::parse(&spec.expression, &spec.timezone).ok().map(Arc::new)
        };
        let schedules = definition.crons.iter().map(schedule).collect();
        Self { schema, keys, subscriptions, schedules }
    }
}
