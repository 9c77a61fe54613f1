//! The workflows that can be started, in memory: their current versions, schemas and event
//! subscriptions. It is rebuilt from the store at start and whenever a module or a workflow
//! changes, and readers keep the one that they have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dormouse_core::event::KeyPattern;
use dormouse_core::id::{Version, WorkflowName};
use dormouse_core::workflow::{Json, Workflow};

use super::Error;
use crate::runtime::Target;
use crate::schema::Schema;
use crate::store::rows::{VersionRow, WorkflowRow};
use crate::store::{Read, StoreError};

/// All workflows and all of their versions.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    workflows: BTreeMap<WorkflowName, Arc<Entry>>,
    definitions: HashMap<(WorkflowName, Version), Arc<Workflow>>,
    subscriptions: Vec<Subscription>,
    /// Subscriptions to one key, by the key; the rest are patterns.
    by_key: HashMap<String, Vec<usize>>,
    patterns: Vec<usize>,
}

/// A workflow that can be started.
pub(crate) struct Entry {
    pub(crate) target: Target,
    pub(crate) definition: Arc<Workflow>,
    pub(super) paused: bool,
    schema: Option<Schema>,
}

struct Subscription {
    pattern: KeyPattern,
    workflow: WorkflowName,
}

impl Clone for Subscription {
    fn clone(&self) -> Self {
        Self { pattern: self.pattern.clone(), workflow: self.workflow.clone() }
    }
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
                definition,
                paused: row.paused,
            };
            self.workflows.insert(row.name.clone(), Arc::new(entry));
        }
    }

    fn subscribe(&mut self, definition: &Workflow) {
        for subscription in &definition.events {
            // A pattern that does not parse was refused at upload.
            let Ok(pattern) = KeyPattern::parse(&subscription.key_pattern) else { continue };
            let index = self.subscriptions.len();
            match pattern.as_exact() {
                Some(key) => self.by_key.entry(key.to_owned()).or_default().push(index),
                None => self.patterns.push(index),
            }
            self.subscriptions.push(Subscription { pattern, workflow: definition.name.clone() });
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

    /// The workflows that an event starts, once for each subscription that matches its key.
    pub(crate) fn subscribers(&self, key: &str) -> Vec<Arc<Entry>> {
        let exact = self.by_key.get(key).into_iter().flatten();
        let matching = self.patterns.iter().filter(|&&index| self.subscriptions[index].pattern.matches(key));
        let names = exact.chain(matching).map(|&index| &self.subscriptions[index].workflow);
        names.filter_map(|name| self.workflows.get(name)).cloned().collect()
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
