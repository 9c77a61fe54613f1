//! Modules, workflows and their versions.

use dormouse_core::id::ModuleDigest;
use sha2::{Digest, Sha256};

use super::{Check, Look, Result};
use crate::store::keys::NAMESPACE;
use crate::store::tables::{BASE_IMAGES, MODULE_BYTES, MODULES, VERSIONS, WORKFLOWS};

pub(super) fn modules(check: &mut Check<'_>) -> Result {
    check.each(MODULES, |check, digest, row| {
        match check.look(MODULE_BYTES, digest)? {
            Look::There(bytes) if bytes.len() as u64 != row.size_bytes => check.report(
                MODULES,
                digest,
                format!("it says {} bytes, but its component has {}", row.size_bytes, bytes.len()),
            ),
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(MODULES, digest, "its component is missing in `module-bytes`"),
        }
        for (workflow, version) in &row.workflows {
            match check.look(VERSIONS, (NAMESPACE, workflow, *version))? {
                Look::There(version) if version.module == digest => {}
                Look::Unreadable => {}
                Look::There(_) | Look::Missing => {
                    let problem = format!("version {} of `{workflow}` is not there or not its", version.0);
                    check.report(MODULES, digest, problem);
                }
            }
        }
        Ok(())
    })
}

pub(super) fn module_bytes(check: &mut Check<'_>) -> Result {
    check.each(MODULE_BYTES, |check, digest, bytes| {
        if !check.is_there(MODULES, digest)? {
            check.report(MODULE_BYTES, digest, "it has no row in `modules`");
        }
        let found = ModuleDigest::from_bytes(Sha256::digest(&bytes).into());
        if found != digest {
            check.report(MODULE_BYTES, digest, format!("its bytes have the digest {found}"));
        }
        Ok(())
    })
}

pub(super) fn base_images(check: &mut Check<'_>) -> Result {
    check.each(BASE_IMAGES, |check, (module, _), _| {
        if !check.is_there(MODULES, module)? {
            check.report(BASE_IMAGES, module, "it has no row in `modules`");
        }
        Ok(())
    })
}

pub(super) fn workflows(check: &mut Check<'_>) -> Result {
    check.each(WORKFLOWS, |check, (_, name), row| {
        let Some(current) = row.current else { return Ok(()) };
        if current > row.latest {
            let problem = format!("version {} is current, but {} is the latest", current.0, row.latest.0);
            check.report(WORKFLOWS, &name, problem);
        }
        match check.look(VERSIONS, (NAMESPACE, &name, current))? {
            Look::There(version) if !check.is_there(MODULES, version.module)? => {
                let problem = format!("{}, the module of its current version, is missing", version.module);
                check.report(WORKFLOWS, &name, problem);
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => {
                check.report(WORKFLOWS, &name, format!("its current version {} is missing", current.0));
            }
        }
        Ok(())
    })
}

pub(super) fn versions(check: &mut Check<'_>) -> Result {
    check.each(VERSIONS, |check, (_, workflow, version), row| {
        let id = format!("{workflow} {}", version.0);
        match check.look(WORKFLOWS, (NAMESPACE, &workflow))? {
            Look::There(workflow) if version > workflow.latest || version.0 == 0 => {
                let problem = format!("versions of the workflow go from 1 to {}", workflow.latest.0);
                check.report(VERSIONS, &id, problem);
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(VERSIONS, &id, "its workflow is missing"),
        }
        if row.definition.name != workflow {
            check.report(VERSIONS, &id, format!("it defines `{}`", row.definition.name));
        }
        Ok(())
    })
}
