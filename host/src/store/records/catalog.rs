//! Records of modules, workflows and versions.

use dormouse_core::id::{ModuleDigest, Version, WorkflowName};
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;
use super::definition::StoredWorkflow;
use crate::store::error::DecodeError;
use crate::store::keys::Namespace;
use crate::store::rows::{ModuleRow, VersionRow, WorkflowRow};

#[derive(Serialize, Deserialize)]
struct StoredModule<'a> {
    size_bytes: u64,
    uploaded_at: u64,
    #[serde(borrow)]
    workflows: Vec<(&'a str, u32)>,
    imports: Vec<&'a str>,
    warnings: Vec<&'a str>,
}

impl Record<ModuleDigest> for ModuleRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredModule {
            size_bytes: self.size_bytes,
            uploaded_at: self.uploaded_at.as_millis(),
            workflows: self.workflows.iter().map(|(name, version)| (name.as_str(), version.0)).collect(),
            imports: self.imports.iter().map(String::as_str).collect(),
            warnings: self.warnings.iter().map(String::as_str).collect(),
        })
    }

    fn decode(digest: &ModuleDigest, bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredModule<'_> = super::read(bytes)?;
        let workflow = |(name, version)| Ok((super::name(name)?, Version(version)));
        Ok(Self {
            digest: *digest,
            size_bytes: stored.size_bytes,
            uploaded_at: Timestamp::from_millis(stored.uploaded_at),
            workflows: stored.workflows.into_iter().map(workflow).collect::<Result<_, DecodeError>>()?,
            imports: stored.imports.into_iter().map(str::to_owned).collect(),
            warnings: stored.warnings.into_iter().map(str::to_owned).collect(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredWorkflowRow {
    current: Option<u32>,
    latest: u32,
    paused: bool,
    created_at: u64,
    updated_at: u64,
}

impl Record<(Namespace, WorkflowName)> for WorkflowRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredWorkflowRow {
            current: self.current.map(|version| version.0),
            latest: self.latest.0,
            paused: self.paused,
            created_at: self.created_at.as_millis(),
            updated_at: self.updated_at.as_millis(),
        })
    }

    fn decode((_, name): &(Namespace, WorkflowName), bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredWorkflowRow = super::read(bytes)?;
        Ok(Self {
            name: name.clone(),
            current: stored.current.map(Version),
            latest: Version(stored.latest),
            paused: stored.paused,
            created_at: Timestamp::from_millis(stored.created_at),
            updated_at: Timestamp::from_millis(stored.updated_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredVersion<'a> {
    module: [u8; 32],
    created_at: u64,
    #[serde(borrow)]
    definition: StoredWorkflow<'a>,
}

impl Record<(Namespace, WorkflowName, Version)> for VersionRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredVersion {
            module: self.module.to_bytes(),
            created_at: self.created_at.as_millis(),
            definition: StoredWorkflow::from(&self.definition),
        })
    }

    fn decode(
        (_, name, version): &(Namespace, WorkflowName, Version),
        bytes: &[u8],
    ) -> Result<Self, DecodeError> {
        let stored: StoredVersion<'_> = super::read(bytes)?;
        Ok(Self {
            version: *version,
            module: ModuleDigest::from_bytes(stored.module),
            created_at: Timestamp::from_millis(stored.created_at),
            definition: stored.definition.into_workflow(name.clone())?,
        })
    }
}
