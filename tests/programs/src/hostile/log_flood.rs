//! Logs without end.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// 1024 when it is left out.
    mib: Option<u64>,
    /// Through standard output instead of the log.
    #[serde(default)]
    print: bool,
}

/// Logs so many mebibytes, in lines of a kibibyte.
#[workflow]
pub(crate) async fn log_flood(_ctx: Context, input: Input) -> Result<()> {
    let line = "x".repeat(1024);
    for _ in 0..input.mib.unwrap_or(1024) * 1024 {
        if input.print {
            println!("{line}");
        } else {
            log::write(log::Level::Info, &line);
        }
    }
    Ok(())
}
