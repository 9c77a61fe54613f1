//! The event subscriptions of all current versions, by what they are found with.

use std::sync::Arc;

use dormouse_core::cel::Predicate;
use dormouse_core::event::KeyPattern;
use dormouse_core::id::WorkflowName;

use super::buckets::Buckets;
use super::version::{DeployedVersion, Wanted};

/// A subscription of a workflow.
#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) workflow: WorkflowName,
    pub(super) filter: Option<Predicate>,
    pattern: KeyPattern,
}

/// A list that copies share; in order of the workflows. An event looks at every subscription of its
/// list, so a change may do so, too.
type List = Arc<[Arc<Subscription>]>;

#[derive(Clone, Default)]
pub(super) struct Subscriptions {
    /// To one key, by the key.
    exact: Buckets<Arc<str>, List>,
    /// To all keys that a pattern with `*` matches.
    patterns: List,
}

impl Subscriptions {
    /// Those whose key is this one or whose pattern matches it.
    pub(super) fn to<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Subscription> {
        let exact = self.exact.get(key).into_iter().flat_map(|list| list.iter());
        let patterns = self.patterns.iter().filter(|subscription| subscription.pattern.matches(key));
        exact.chain(patterns).map(|subscription| &**subscription)
    }

    pub(super) fn add(&mut self, version: &DeployedVersion) {
        let workflow = &version.definition.name;
        for Wanted { pattern, filter } in version.subscriptions() {
            let new =
                Subscription { workflow: workflow.clone(), filter: filter.clone(), pattern: pattern.clone() };
            match pattern.as_exact() {
                Some(key) => {
                    let list = self.exact.get(key).cloned().unwrap_or_default();
                    self.exact.insert(Arc::from(key), with(&list, new));
                }
                None => self.patterns = with(&self.patterns, new),
            }
        }
    }

    pub(super) fn remove(&mut self, version: &DeployedVersion) {
        let workflow = &version.definition.name;
        for Wanted { pattern, .. } in version.subscriptions() {
            let Some(key) = pattern.as_exact() else { continue };
            let list = self.exact.get(key).map_or_else(List::default, |list| without(list, workflow));
            match list.is_empty() {
                true => self.exact.remove(key),
                false => self.exact.insert(Arc::from(key), list),
            }
        }
        if self.patterns.iter().any(|subscription| subscription.workflow == *workflow) {
            self.patterns = without(&self.patterns, workflow);
        }
    }
}

fn with(list: &List, new: Subscription) -> List {
    // Behind others of the same workflow: those come in the order of its definition.
    let place = list.partition_point(|subscription| subscription.workflow <= new.workflow);
    let (before, after) = list.split_at(place);
    before.iter().cloned().chain([Arc::new(new)]).chain(after.iter().cloned()).collect()
}

fn without(list: &List, workflow: &WorkflowName) -> List {
    list.iter().filter(|subscription| subscription.workflow != *workflow).cloned().collect()
}
