//! `dormouse version`: which program this is, and whose time zone data it uses.

use dormouse_core::cron::{own_zone_data_version, zone_data_version};
use serde::Serialize;

use super::app::{Context, Outcome};
use super::print::{data, json};
use crate::zones;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    /// The release of the IANA time zone database that a host on this machine would use.
    zone_data: &'static str,
    /// The one that the program carries.
    own_zone_data: &'static str,
}

pub(super) fn run(context: &Context) -> anyhow::Result<Outcome> {
    zones::use_newest();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        zone_data: zone_data_version(),
        own_zone_data: own_zone_data_version(),
    };
    if context.printer.is_json() {
        json(&serde_json::to_string(&report)?)?;
        return Ok(Outcome::Done);
    }
    let whose = if report.zone_data == report.own_zone_data { "its own" } else { "the system's" };
    data(format_args!("dormouse:  {}", report.version))?;
    data(format_args!("zone data: {} ({whose})", report.zone_data))?;
    Ok(Outcome::Done)
}
