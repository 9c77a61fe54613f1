//! Logs without end.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// 1024 when it is left out.
    mib: Option<u64>,
    /// How long a line is; a kibibyte when it is left out.
    line_bytes: Option<usize>,
    /// Through standard output instead of the log.
    #[serde(default)]
    print: bool,
}

/// Logs as many lines as so many mebibytes have kibibytes.
#[workflow]
pub(crate) async fn log_flood(_ctx: Context, input: Input) -> Result<()> {
    let line = "x".repeat(input.line_bytes.unwrap_or(1024));
    for _ in 0..input.mib.unwrap_or(1024) * 1024 {
        if input.print {
            println!("{line}");
        } else {
            log::write(log::Level::Info, &line);
        }
    }
    Ok(())
}
