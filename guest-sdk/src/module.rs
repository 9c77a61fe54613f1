//! From the functions of an author to the exports of a component.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::dormouse::workflow::definitions;
use crate::bindings::exports::dormouse::workflow::guest::{Guest, SettledWait, StepResult, TaskContext};
use crate::context::Context;
use crate::error::Error;
use crate::executor::{self, Root};
use crate::workflow::Workflow;

/// Makes the crate a module that holds these workflows. Write it once, in the crate's root.
///
/// ```
/// use dormouse_sdk::prelude::*;
///
/// #[workflow]
/// async fn greet(ctx: Context, name: String) -> Result<String> {
///     Ok(format!("hello {name}"))
/// }
///
/// dormouse_sdk::module![greet];
/// ```
///
/// The crate is a `cdylib`, built with `cargo build --release --target wasm32-wasip2`; the `.wasm`
/// file that comes of it is deployed as it is.
#[macro_export]
macro_rules! module {
    [$($workflow:path),+ $(,)?] => {
        $crate::__declare_module![$($workflow),+];

        // Only a component exports anything; elsewhere this is an ordinary library.
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exports = $crate::__private::Exports<__DormouseModule>;
            $crate::__private::bindings::export_module!(Exports);
        };
    };
}

/// The part of `module!` that exports nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __declare_module {
    [$($workflow:path),+] => {
        #[doc(hidden)]
        #[derive(Debug)]
        pub struct __DormouseModule;

        impl $crate::__private::Module for __DormouseModule {
            fn definition() -> ::std::vec::Vec<$crate::__private::definitions::Workflow> {
                ::std::vec![$($crate::Workflow::definition(&$workflow)),+]
            }

            fn root(workflow: &str, input: &str) -> ::std::option::Option<$crate::__private::Root> {
                $(
                    if workflow == $crate::Target::name(&$workflow) {
                        return ::std::option::Option::Some($crate::__private::root($workflow, input));
                    }
                )+
                ::std::option::Option::None
            }
        }
    };
}

/// What `module!` knows of a crate.
pub trait Module {
    /// What the host is told.
    fn definition() -> Vec<definitions::Workflow>;

    /// The task of a workflow, ready to be polled; `None` if there is none of that name.
    fn root(workflow: &str, input: &str) -> Option<Root>;
}

/// The task of one workflow as a future from JSON to JSON.
pub fn root<W: Workflow>(workflow: W, input: &str) -> Root
where
    W::Input: DeserializeOwned,
    W::Output: Serialize,
{
    let input = W::decode_input(input);
    Box::pin(async move {
        let output = workflow.call(Context::new(), input?).await?;
        serde_json::to_string(&output).map_err(|error| Error::from(error).into_fatal())
    })
}

/// What the host calls.
#[derive(Debug)]
pub struct Exports<M>(PhantomData<M>);

impl<M: Module> Guest for Exports<M> {
    fn definition() -> Vec<definitions::Workflow> {
        M::definition()
    }

    fn init() {
        #[cfg(target_family = "wasm")]
        crate::stdio::hold();
    }

    fn start(context: TaskContext) -> StepResult {
        match M::root(&context.workflow, &context.input) {
            Some(root) => executor::start(root),
            None => {
                let message = format!("this module has no workflow named `{}`", context.workflow);
                StepResult::Failed(Error::fatal(message).into_task_error())
            }
        }
    }

    fn resume(settled: Vec<SettledWait>) -> StepResult {
        executor::resume(settled)
    }
}
