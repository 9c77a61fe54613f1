//! Standard output and error: every line of text becomes a log line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::runtime::logs::Logs;

/// Most bytes that a guest may write before it asks again.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum Stream {
    Stdout,
    Stderr,
}

/// One of them, writing to the log of the step.
#[derive(Clone)]
pub(in crate::runtime) struct OutputLines {
    logs: Logs,
    stream: Stream,
}

impl OutputLines {
    pub(in crate::runtime) fn new(logs: Logs, stream: Stream) -> Self {
        Self { logs, stream }
    }
}

impl IsTerminal for OutputLines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputLines {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl OutputStream for OutputLines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.logs.write_stream(self.stream, &bytes).map_err(|flood| StreamError::Trap(flood.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for OutputLines {
    async fn ready(&mut self) {}
}

/// WASI 0.2 writes through `OutputStream`; the trait asks for this as well.
impl AsyncWrite for OutputLines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(
            self.logs.write_stream(self.stream, bytes).map(|()| bytes.len()).map_err(io::Error::other),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
