//! The event subscriptions of all current versions, by what they are found with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_core::cel::Predicate;
use dormouse_core::event::KeyPattern;
use dormouse_core::id::WorkflowName;

use super::buckets::Buckets;
use super::version::{DeployedVersion, Wanted};
use crate::store::rows::SubscriptionPlace;

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
    /// Those whose key is this one or whose pattern matches it, behind a place.
    pub(super) fn to<'a>(
        &'a self,
        key: &'a str,
        after: Option<SubscriptionPlace>,
    ) -> impl Iterator<Item = (SubscriptionPlace, &'a Subscription)> {
        let exact = self.exact.get(key).into_iter().flat_map(numbered);
        let patterns = numbered(&self.patterns).filter(|(_, subscription)| subscription.pattern.matches(key));
        let all = exact.map(|numbered| (false, numbered)).chain(patterns.map(|numbered| (true, numbered)));
        let is_passed = move |is_pattern, workflow, position| {
            after.as_ref().is_some_and(|SubscriptionPlace { is_pattern: p, workflow: w, position: n }| {
                (is_pattern, workflow, position) <= (*p, w, *n)
            })
        };
        all.skip_while(move |(is_pattern, (position, subscription))| {
            is_passed(*is_pattern, &subscription.workflow, *position)
        })
        .map(|(is_pattern, (position, subscription))| {
            let workflow = subscription.workflow.clone();
            (SubscriptionPlace { is_pattern, workflow, position }, subscription)
        })
    }

    pub(super) fn add(&mut self, version: &DeployedVersion) {
        let workflow = &version.definition.name;
        // Each list is made once.
        let mut by_key: BTreeMap<Option<&str>, Vec<Arc<Subscription>>> = BTreeMap::new();
        for Wanted { pattern, filter } in version.subscriptions() {
            let subscription =
                Subscription { workflow: workflow.clone(), filter: filter.clone(), pattern: pattern.clone() };
            by_key.entry(pattern.as_exact()).or_default().push(Arc::new(subscription));
        }
        for (key, new) in by_key {
            match key {
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
        let keys = version.subscriptions().iter().filter_map(|wanted| wanted.pattern.as_exact());
        for key in keys.collect::<BTreeSet<_>>() {
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

/// The subscriptions of a list, each with its position among those of its workflow.
fn numbered(list: &List) -> impl Iterator<Item = (u32, &Subscription)> {
    let mut last: Option<(&WorkflowName, u32)> = None;
    list.iter().map(move |subscription| {
        let workflow = &subscription.workflow;
        let position = last.filter(|(name, _)| *name == workflow).map_or(0, |(_, position)| position + 1);
        last = Some((workflow, position));
        (position, &**subscription)
    })
}

/// A list with more subscriptions, all of one workflow and in the order of its definition.
fn with(list: &List, new: Vec<Arc<Subscription>>) -> List {
    let Some(first) = new.first() else { return Arc::clone(list) };
    let place = list.partition_point(|subscription| subscription.workflow <= first.workflow);
    let (before, after) = list.split_at(place);
    before.iter().cloned().chain(new).chain(after.iter().cloned()).collect()
}

fn without(list: &List, workflow: &WorkflowName) -> List {
    list.iter().filter(|subscription| subscription.workflow != *workflow).cloned().collect()
}
