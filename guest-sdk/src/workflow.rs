//! Workflows as values: what `#[workflow]` makes of a function, and how others refer to it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::dormouse::workflow::definitions;
use crate::context::Context;
use crate::error::{DecodeError, Error, Result};

/// A workflow that runs can be started of, of this module or of another one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no workflow",
    label = "expected a function with `#[workflow]`, or `Named::new(\"…\")`"
)]
pub trait Target {
    /// What its runs work on.
    type Input;
    /// What its runs give.
    type Output;

    /// Its name on the host.
    fn name(&self) -> &str;
}

impl<W: Target + ?Sized> Target for &W {
    type Input = W::Input;
    type Output = W::Output;

    fn name(&self) -> &str {
        (**self).name()
    }
}

/// A workflow of this module. [`workflow`](crate::workflow) implements it.
pub trait Workflow: Target + 'static {
    /// What the host is told of it.
    #[doc(hidden)]
    fn definition(&self) -> definitions::Workflow;

    /// Reads the input of a run.
    #[doc(hidden)]
    fn decode_input(json: &str) -> Result<Self::Input>
    where
        Self::Input: DeserializeOwned,
    {
        DecodeError::decode(json, || "the input".to_owned()).map_err(|error| Error::from(error).into_fatal())
    }

    /// Does what the function says, as a part of the task that calls it: no run of its own.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn call(&self, ctx: Context, input: Self::Input) -> impl Future<Output = Result<Self::Output>>;
}

/// A workflow known by name only, for instance one of another module.
///
/// ```no_run
/// # use dormouse_sdk::prelude::*;
/// # fn demo(ctx: Context) -> Result<()> {
/// let invoice = Named::<u64, String>::new("send-invoice");
/// ctx.spawn(&invoice, &4711)?;
/// ctx.spawn(&Named::any("tidy-up"), &json!({"deep": true}))?;
/// # Ok(()) }
/// ```
pub struct Named<I = Value, O = Value> {
    name: String,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Named<I, O> {
    /// The workflow of this name, which takes an `I` and gives an `O`. The host checks the name
    /// and the input when a run is started.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), types: PhantomData }
    }
}

impl Named {
    /// The workflow of this name, with JSON in and out.
    pub fn any(name: impl Into<String>) -> Self {
        Self::new(name)
    }
}

impl<I, O> Target for Named<I, O> {
    type Input = I;
    type Output = O;

    fn name(&self) -> &str {
        &self.name
    }
}

impl<I, O> fmt::Debug for Named<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.name).finish()
    }
}

/// What the function of a task may return: nothing, or a `Result` with any error that `?` could
/// turn into an [`Error`].
#[diagnostic::on_unimplemented(
    message = "a workflow returns nothing or a `Result`, not `{Self}`",
    label = "write `Result<{Self}>` and return `Ok(…)`"
)]
pub trait TaskResult {
    /// What it gives when all is well.
    type Output;

    /// The same as a `Result` of the SDK.
    ///
    /// # Errors
    ///
    /// Its own.
    fn into_result(self) -> Result<Self::Output>;
}

impl TaskResult for () {
    type Output = ();

    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<T, E: Into<Error>> TaskResult for std::result::Result<T, E> {
    type Output = T;

    fn into_result(self) -> Result<T> {
        self.map_err(Into::into)
    }
}
