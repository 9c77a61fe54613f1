//! What the function of a workflow must look like.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, FnArg, ItemFn, PatType, Result, ReturnType};

/// The types of a function that can be a workflow.
pub(crate) struct Signature {
    /// Type of the input; `None` when the function takes only its context.
    pub(crate) input: Option<TokenStream>,
    /// What the function returns, `()` included.
    pub(crate) returns: TokenStream,
}

pub(crate) fn check(function: &ItemFn) -> Result<Signature> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        let message = "a workflow is an `async fn`, so that it can sleep and wait";
        return Err(Error::new_spanned(signature.fn_token, message));
    }
    if !signature.generics.params.is_empty() {
        let message = "a workflow has no generic parameters: it is started from JSON";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    let mut inputs = signature.inputs.iter();
    match inputs.next() {
        Some(FnArg::Typed(_)) => {}
        Some(receiver) => return Err(Error::new_spanned(receiver, "a workflow is a function, not a method")),
        None => {
            let message = "a workflow takes a `Context`: `async fn name(ctx: Context)`";
            return Err(Error::new_spanned(&signature.ident, message));
        }
    }
    let input = inputs.next().map(|arg| match arg {
        FnArg::Typed(PatType { ty, .. }) => ty.to_token_stream(),
        FnArg::Receiver(receiver) => receiver.to_token_stream(),
    });
    if let Some(third) = inputs.next() {
        let message = "a workflow takes a `Context` and one input: put what it needs into a struct";
        return Err(Error::new_spanned(third, message));
    }
    let returns = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    };
    Ok(Signature { input, returns })
}
