//! The workflows that can be started, in memory: their current versions, schemas and event
//! subscriptions. It is rebuilt from the store at start and whenever a module or a workflow
//! changes, and readers keep the one that they have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dormouse_core::cel::{KeyExpression, Predicate, Subject};
use dormouse_core::event::KeyPattern;
use dormouse_core::id::{Version, WorkflowName};
use dormouse_core::workflow::{Json, Metadata, Workflow};

use super::Error;
use crate::runtime::Target;
use crate::schema::Schema;
use crate::store::rows::{VersionRow, WorkflowRow};
use crate::store::{Read, StoreError};
use crate::triggers::Matching;

/// All workflows and all of their versions.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    workflows: BTreeMap<WorkflowName, Arc<Entry>>,
    definitions: HashMap<(WorkflowName, Version), Arc<Workflow>>,
    /// What the keys of concurrency limits are computed with, of versions that have limits.
    concurrency: HashMap<(WorkflowName, Version), Arc<[Option<KeyExpression>]>>,
    subscriptions: Vec<Subscription>,
    /// Subscriptions to one key, by the key; the rest are patterns.
    by_key: HashMap<String, Vec<usize>>,
    patterns: Vec<usize>,
}

/// A workflow that can be started.
pub(crate) struct Entry {
    pub(crate) target: Target,
    pub(super) paused: bool,
    schema: Option<Schema>,
}

#[derive(Clone)]
struct Subscription {
    pattern: KeyPattern,
    filter: Option<Predicate>,
    workflow: WorkflowName,
}

impl Catalog {
    /// Reads all of it.
    pub(super) fn load(store: &impl Read) -> Result<Self, StoreError> {
        let mut catalog = Self::default();
        for row in store.workflows()? {
            catalog.add(&row, store.versions(&row.name)?);
        }
        Ok(catalog)
    }

    fn add(&mut self, row: &WorkflowRow, versions: Vec<VersionRow>) {
        for version in versions {
            let definition = Arc::new(version.definition);
            self.definitions.insert((row.name.clone(), version.version), Arc::clone(&definition));
            if !definition.concurrency.is_empty() {
                // An expression that does not compile was refused at upload.
                let compile = |text: &String| KeyExpression::compile(text).ok();
                let keys = definition.concurrency.iter().map(|limit| limit.key.as_ref().and_then(compile));
                self.concurrency.insert((row.name.clone(), version.version), keys.collect());
            }
            if row.current != Some(version.version) {
                continue;
            }
            self.subscribe(&definition);
            let entry = Entry {
                target: Target {
                    workflow: row.name.clone(),
                    version: version.version,
                    module: version.module,
                },
                // A schema that does not compile was refused at upload.
                schema: definition.input_schema.as_ref().and_then(|schema| Schema::compile(schema).ok()),
                paused: row.paused,
            };
            self.workflows.insert(row.name.clone(), Arc::new(entry));
        }
    }

    fn subscribe(&mut self, definition: &Workflow) {
        for subscription in &definition.events {
            // What does not parse was refused at upload.
            let Ok(pattern) = KeyPattern::parse(&subscription.key_pattern) else { continue };
            let Ok(filter) = subscription.filter.as_deref().map(Predicate::compile).transpose() else {
                continue;
            };
            let index = self.subscriptions.len();
            match pattern.as_exact() {
                Some(key) => self.by_key.entry(key.to_owned()).or_default().push(index),
                None => self.patterns.push(index),
            }
            self.subscriptions.push(Subscription { pattern, filter, workflow: definition.name.clone() });
        }
    }

    /// A workflow that can be started.
    pub(crate) fn workflow(&self, name: &WorkflowName) -> Option<&Arc<Entry>> {
        self.workflows.get(name)
    }

    /// All that can be started, in order of their names.
    pub(super) fn workflows(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.workflows.values()
    }

    /// What a version of a workflow says, be it current or not.
    pub(super) fn definition(&self, name: &WorkflowName, version: Version) -> Option<&Arc<Workflow>> {
        self.definitions.get(&(name.clone(), version))
    }

    /// Whether a workflow takes a call with this input and these metadata; otherwise what to mend.
    pub(crate) fn check_call(&self, entry: &Entry, input: &Json, metadata: &Metadata) -> Result<(), Error> {
        let Target { workflow, version, .. } = &entry.target;
        let checked = entry.check_input(input);
        checked
            .and_then(|()| self.concurrency_keys(workflow, *version, input, metadata).map(drop))
            .map_err(|problem| Error::invalid("invalid_input", "input", problem))
    }

    /// The key of a run under each concurrency limit of its version, in the order of the definition.
    /// Otherwise what is wrong with the input or the metadata.
    pub(crate) fn concurrency_keys(
        &self,
        name: &WorkflowName,
        version: Version,
        input: &Json,
        metadata: &Metadata,
    ) -> Result<Vec<String>, String> {
        let Some(keys) = self.concurrency.get(&(name.clone(), version)) else { return Ok(Vec::new()) };
        let subject = Subject::of_run(input, metadata);
        let key = |expression: &Option<KeyExpression>| match expression {
            // All runs share the key of a limit without expression.
            None => Ok(String::new()),
            Some(expression) => expression.evaluate(&subject).map_err(|error| {
                format!("the concurrency key of `{name}` cannot be computed from it: {error}")
            }),
        };
        keys.iter().map(key).collect()
    }

    /// The workflows that an event starts, once for each subscription that it matches.
    pub(crate) fn subscribers(&self, event: &mut Matching<'_>) -> Vec<Arc<Entry>> {
        let key = event.key();
        let exact = self.by_key.get(key).into_iter().flatten().copied();
        let patterns = self.patterns.iter().copied();
        let patterns = patterns.filter(|index| self.subscriptions[*index].pattern.matches(key));
        let subscriptions = exact.chain(patterns).map(|index| &self.subscriptions[index]);
        let wanted = subscriptions
            .filter(|subscription| subscription.filter.as_ref().is_none_or(|filter| event.satisfies(filter)));
        wanted.filter_map(|subscription| self.workflows.get(&subscription.workflow)).cloned().collect()
    }
}

impl Entry {
    /// Whether the workflow takes this input; otherwise where it does not fit.
    pub(crate) fn check_input(&self, input: &Json) -> Result<(), String> {
        self.schema.as_ref().map_or(Ok(()), |schema| schema.check(input))
    }
}

/// The workflow, or an error that says what there is.
pub(crate) fn find<'a>(catalog: &'a Catalog, name: &WorkflowName) -> Result<&'a Arc<Entry>, Error> {
    catalog.workflow(name).ok_or_else(|| {
        let text =
            format!("no workflow is named `{name}`; `GET /api/v1/workflows` lists those that are deployed");
        Error::not_found("unknown_workflow", text)
    })
}
