//! The workflows that can be started, in memory: their versions and event subscriptions. It is read
//! from the store at start; then an operation on a workflow changes what there is of that one. Copies
//! share what has not changed, so a new one is cheap to publish, and readers keep the one that they
//! have.

mod buckets;
mod subscriptions;
mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_core::id::{Version, WorkflowName};
use dormouse_core::new_run::Target;
use dormouse_core::workflow::{Json, Metadata, Workflow};

use self::buckets::Buckets;
use self::subscriptions::Subscriptions;
pub(crate) use self::version::DeployedVersion;
use crate::error::Error;
use crate::store::rows::{SubscriptionPlace, WorkflowRow};
use crate::store::{Read, StoreError};
use crate::triggers::Matching;

/// All workflows and all of their versions.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    workflows: Buckets<WorkflowName, Known>,
    subscriptions: Arc<Subscriptions>,
}

/// A workflow that has been deployed, be it deleted or not. Cheap to copy.
#[derive(Clone, Default)]
struct Known {
    /// A deploy copies as many pointers as the workflow has versions, which is nothing beside the
    /// compilation of the module.
    versions: Arc<BTreeMap<Version, Arc<DeployedVersion>>>,
    /// `None` of a workflow that is deleted.
    current: Option<Arc<Entry>>,
}

/// An input and its schema that are no longer than this together are checked in some microseconds; handing the
/// thread over costs as much.
const SHORT_BYTES_MAX: usize = 1 << 10;

/// A workflow that can be started.
pub(crate) struct Entry {
    pub(crate) target: Target,
    pub(crate) version: Arc<DeployedVersion>,
    pub(super) paused: bool,
}

/// What is known at start, and what changes with the rows of one workflow.
impl Catalog {
    /// Reads all of it. What runs begin with is compiled; older versions are when an operation needs them.
    pub(super) fn load(store: &impl Read) -> Result<Self, StoreError> {
        let mut catalog = Self::default();
        for row in store.workflows()? {
            for version in store.versions(&row.name)? {
                let deployed = DeployedVersion::new(version.module, version.definition);
                catalog.put_version(version.version, Arc::new(deployed));
            }
            catalog.put_workflow(&row);
        }
        Ok(catalog)
    }

    /// Adds a version of a workflow.
    pub(super) fn put_version(&mut self, version: Version, deployed: Arc<DeployedVersion>) {
        let name = deployed.definition.name.clone();
        let mut known = self.workflows.get(&name).cloned().unwrap_or_default();
        Arc::make_mut(&mut known.versions).insert(version, deployed);
        self.workflows.insert(name, known);
    }

    /// Has a workflow be as its row says. Its versions have to be there already.
    pub(super) fn put_workflow(&mut self, row: &WorkflowRow) {
        let mut known = self.workflows.get(&row.name).cloned().unwrap_or_default();
        let current = row.current.and_then(|number| Some((number, known.versions.get(&number)?)));
        let current = current.map(|(number, version)| Entry {
            target: Target { workflow: row.name.clone(), version: number, module: version.module },
            version: Arc::clone(version),
            paused: row.paused,
        });
        let before = std::mem::replace(&mut known.current, current.map(Arc::new));
        let [before, now] = [&before, &known.current].map(|entry| entry.as_ref().map(|entry| &entry.version));
        let is_same = before.zip(now).is_some_and(|(before, now)| Arc::ptr_eq(before, now));
        if !is_same {
            let subscriptions = Arc::make_mut(&mut self.subscriptions);
            before.into_iter().for_each(|version| subscriptions.remove(version));
            now.into_iter().for_each(|version| {
                version.compile();
                subscriptions.add(version);
            });
        }
        self.workflows.insert(row.name.clone(), known);
    }
}

/// What there is.
impl Catalog {
    /// A workflow that can be started.
    pub(crate) fn workflow(&self, name: &WorkflowName) -> Option<&Arc<Entry>> {
        self.workflows.get(name)?.current.as_ref()
    }

    /// All that can be started, in order of their names.
    pub(crate) fn workflows(&self) -> Vec<&Arc<Entry>> {
        let mut entries: Vec<_> =
            self.workflows.values().filter_map(|known| known.current.as_ref()).collect();
        entries.sort_unstable_by_key(|entry| &entry.target.workflow);
        entries
    }

    /// A version of a workflow, be it current or not.
    pub(crate) fn version(&self, name: &WorkflowName, version: Version) -> Option<&Arc<DeployedVersion>> {
        self.workflows.get(name)?.versions.get(&version)
    }

    /// What a version of a workflow says, be it current or not.
    pub(crate) fn definition(&self, name: &WorkflowName, version: Version) -> Option<&Arc<Workflow>> {
        self.version(name, version).map(|version| &version.definition)
    }

    /// Holds an event against the subscriptions to its key, in their order and beginning behind a place: each
    /// time one comes out, and the workflow if it starts a run of that.
    pub(super) fn hold_against_subscriptions<'a>(
        &'a self,
        event: &'a mut Matching<'_>,
        after: Option<SubscriptionPlace>,
    ) -> impl Iterator<Item = (SubscriptionPlace, Option<&'a Arc<Entry>>)> {
        let subscriptions = self.subscriptions.to(event.key(), after);
        subscriptions.map(|(place, subscription)| {
            let holds = subscription.filter.as_ref().is_none_or(|filter| event.satisfies(filter));
            let entry = if holds { self.workflow(&place.workflow) } else { None };
            (place, entry)
        })
    }

    /// Whether no workflow has subscribed to this key.
    pub(super) fn has_no_subscription_to(&self, key: &str) -> bool {
        self.subscriptions.to(key, None).next().is_none()
    }

    /// Whether it has the very subscriptions of another catalog.
    pub(super) fn has_subscriptions_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.subscriptions, &other.subscriptions)
    }
}

impl Entry {
    /// Whether the workflow takes this input; otherwise what to mend.
    pub(crate) fn check_input(&self, input: &Json) -> Result<(), Error> {
        self.version.check_input(input).map_err(invalid_input)
    }

    /// The keys of its concurrency limits, if the workflow takes a call with this input and these metadata;
    /// otherwise what to mend.
    pub(crate) fn check_call(&self, input: &Json, metadata: &Metadata) -> Result<Vec<String>, Error> {
        self.check_input(input)?;
        self.version.concurrency_keys(input, metadata).map_err(invalid_input)
    }

    /// Whether that may take so long that it has no place on a thread that others wait for.
    pub(crate) fn is_long_to_check(&self, input: &Json) -> bool {
        let Workflow { input_schema, concurrency, .. } = &*self.version.definition;
        let is_long = |schema: &Json| schema.as_str().len() + input.as_str().len() > SHORT_BYTES_MAX;
        !concurrency.is_empty() || input_schema.as_ref().is_some_and(is_long)
    }
}

fn invalid_input(problem: String) -> Error {
    Error::invalid("invalid_input", "input", problem)
}

/// The workflow, or an error that says what there is.
pub(crate) fn find<'a>(catalog: &'a Catalog, name: &WorkflowName) -> Result<&'a Arc<Entry>, Error> {
    catalog.workflow(name).ok_or_else(|| {
        let text =
            format!("no workflow is named `{name}`; `GET /api/v1/workflows` lists those that are deployed");
        Error::not_found("unknown_workflow", text)
    })
}

#[cfg(test)]
mod tests;
