//! Writes the code: a value for the workflow, what the host is told of it, and the function itself.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, ExprLit, ItemFn, Lit, Meta};

use crate::signature::Signature;
use crate::validate::{Backoff, CatchUp, Concurrency, Cron, Definition, Event, RateLimit, RateLimitKey};

pub(crate) fn expand(definition: &Definition, signature: &Signature, function: &ItemFn) -> TokenStream {
    let (docs, attributes): (Vec<_>, Vec<_>) =
        function.attrs.iter().partition(|attribute| attribute.path().is_ident("doc"));
    let (vis, value, name) = (&function.vis, &function.sig.ident, &definition.name);
    let (inputs, returns, body) = (&function.sig.inputs, &signature.returns, &function.block);
    let input = signature.input.clone().unwrap_or_else(|| quote!(()));
    let arguments = match signature.input {
        Some(_) => quote!(ctx, input),
        None => quote!(ctx),
    };
    // Without an input there is nothing to read, whatever the event or the caller sent.
    let decode_input = signature.input.is_none().then(|| {
        quote! {
            fn decode_input(_: &str) -> ::dormouse_sdk::Result<()> {
                ::std::result::Result::Ok(())
            }
        }
    });
    let definition = record(definition, signature, &description(&docs));
    quote! {
        #(#docs)*
        // It stands for a function and is named like one.
        #[allow(non_camel_case_types, reason = "named like the function that it stands for")]
        #[derive(Clone, Copy, Debug)]
        #vis struct #value;

        impl ::dormouse_sdk::Target for #value {
            type Input = #input;
            type Output = <#returns as ::dormouse_sdk::TaskResult>::Output;

            fn name(&self) -> &str {
                #name
            }
        }

        impl ::dormouse_sdk::Workflow for #value {
            fn definition(&self) -> ::dormouse_sdk::__private::definitions::Workflow {
                #definition
            }

            #decode_input

            async fn call(
                &self,
                ctx: ::dormouse_sdk::Context,
                input: Self::Input,
            ) -> ::dormouse_sdk::Result<Self::Output> {
                // An input that is not handed on is `()`.
                let _ = &input;
                ::dormouse_sdk::TaskResult::into_result(Self::__task(#arguments).await)
            }
        }

        impl #value {
            // An associated function, so that the body still sees the value under its name.
            #(#attributes)*
            async fn __task(#inputs) -> #returns #body
        }
    }
}

/// The text of a doc comment, without the space after each `///`.
pub(crate) fn description(docs: &[&Attribute]) -> String {
    let lines = docs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

fn record(definition: &Definition, signature: &Signature, description: &str) -> TokenStream {
    let name = string(&definition.name);
    let crons = definition.crons.iter().map(cron);
    let events = definition.events.iter().map(event);
    let concurrency = definition.concurrency.iter().map(concurrency);
    let input_schema = signature.input.as_ref().map(schema);
    let returns = &signature.returns;
    let output_schema = schema(&quote!(<#returns as ::dormouse_sdk::TaskResult>::Output));
    let (input_schema, priority) = (option(input_schema), option(definition.priority));
    let task = task(definition);
    quote! {
        ::dormouse_sdk::__private::definitions::Workflow {
            name: #name,
            description: ::std::string::String::from(#description),
            crons: ::std::vec![#(#crons),*],
            events: ::std::vec![#(#events),*],
            tasks: ::std::vec![#task],
            on_failure: ::std::option::Option::None,
            input_schema: #input_schema,
            output_schema: ::std::option::Option::Some(#output_schema),
            concurrency: ::std::vec![#(#concurrency),*],
            default_priority: #priority,
        }
    }
}

/// The one task, which has the name of its workflow.
fn task(definition: &Definition) -> TokenStream {
    let name = string(&definition.name);
    let retries = option(definition.retries);
    let backoff = option(definition.backoff.as_ref().map(backoff));
    let execution_timeout = option(definition.execution_timeout);
    let schedule_timeout = option(definition.schedule_timeout);
    let memory_bytes_max = option(definition.memory_bytes_max);
    let rate_limits = definition.rate_limits.iter().map(rate_limit);
    quote! {
        ::dormouse_sdk::__private::definitions::Task {
            name: #name,
            description: ::std::string::String::new(),
            parents: ::std::vec![],
            retries: #retries,
            backoff: #backoff,
            execution_timeout: #execution_timeout,
            schedule_timeout: #schedule_timeout,
            memory_bytes_max: #memory_bytes_max,
            concurrency: ::std::vec![],
            rate_limits: ::std::vec![#(#rate_limits),*],
            skip_if: ::std::vec![],
            cancel_if: ::std::vec![],
        }
    }
}

fn event(event: &Event) -> TokenStream {
    let (key_pattern, filter) = (string(&event.key_pattern), option_string(event.filter.as_deref()));
    quote! {
        ::dormouse_sdk::__private::definitions::EventSubscription { key_pattern: #key_pattern, filter: #filter }
    }
}

fn cron(cron: &Cron) -> TokenStream {
    let (name, expression) = (string(&cron.name), string(&cron.expression));
    let (timezone, input) = (option_string(cron.timezone.as_deref()), option_string(cron.input.as_deref()));
    let pairs = cron.metadata.iter().map(|(name, value)| {
        let (name, value) = (string(name), string(value));
        quote!((#name, #value))
    });
    let priority = option(cron.priority);
    let catch_up = option(cron.catch_up.as_ref().map(|catch_up| {
        let variant = match catch_up {
            CatchUp::Skip => quote!(Skip),
            CatchUp::One => quote!(One),
            CatchUp::All(window) => quote!(All(#window)),
        };
        quote!(::dormouse_sdk::__private::definitions::CatchUp::#variant)
    }));
    let overlap = option(cron.overlap.map(|variant| {
        let variant = ident(variant);
        quote!(::dormouse_sdk::__private::definitions::Overlap::#variant)
    }));
    quote! {
        ::dormouse_sdk::__private::definitions::Cron {
            name: #name,
            expression: #expression,
            timezone: #timezone,
            input: #input,
            metadata: ::std::vec![#(#pairs),*],
            priority: #priority,
            catch_up: #catch_up,
            overlap: #overlap,
        }
    }
}

fn backoff(backoff: &Backoff) -> TokenStream {
    let (initial, factor) = (option(backoff.initial), option(backoff.factor));
    let (max, jitter) = (option(backoff.max), option(backoff.jitter));
    quote! {
        ::dormouse_sdk::__private::definitions::Backoff {
            initial: #initial,
            factor: #factor,
            max: #max,
            jitter: #jitter,
        }
    }
}

fn concurrency(limit: &Concurrency) -> TokenStream {
    let (key, max_runs, strategy) =
        (option_string(limit.key.as_deref()), limit.max_runs, ident(limit.strategy));
    quote! {
        ::dormouse_sdk::__private::definitions::Concurrency {
            key: #key,
            max_runs: #max_runs,
            strategy: ::dormouse_sdk::__private::definitions::ConcurrencyStrategy::#strategy,
        }
    }
}

fn rate_limit(rate: &RateLimit) -> TokenStream {
    let key = match &rate.key {
        RateLimitKey::Static(name) => {
            let name = string(name);
            quote!(Static(#name))
        }
        RateLimitKey::Dynamic(expression) => {
            let expression = string(expression);
            quote!(Dynamic(#expression))
        }
    };
    let RateLimit { units, limit, window, .. } = rate;
    quote! {
        ::dormouse_sdk::__private::definitions::RateLimit {
            key: ::dormouse_sdk::__private::definitions::RateLimitKey::#key,
            units: #units,
            limit: #limit,
            window: #window,
        }
    }
}

fn schema(ty: &TokenStream) -> TokenStream {
    quote!({
        #[allow(unused_imports, reason = "only the one that fits the type")]
        use ::dormouse_sdk::__private::{PickPlain as _, PickSchemars as _};
        (&::dormouse_sdk::__private::Probe::<#ty>::new()).pick().document::<#ty>()
    })
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

fn string(text: &str) -> TokenStream {
    quote!(::std::string::String::from(#text))
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::std::option::Option::Some(#value)),
        None => quote!(::std::option::Option::None),
    }
}

fn option_string(text: Option<&str>) -> TokenStream {
    option(text.map(string))
}
