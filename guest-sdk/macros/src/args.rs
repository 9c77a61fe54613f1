//! The shape of options, whatever they mean: `"value"`, `name = "value"`, `name("value", …)`.

use std::fmt::Display;
use std::str::FromStr;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, Lit, Result, Token, parenthesized};

/// A value and where it stands.
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A comma-separated list of arguments.
pub(crate) struct Args(pub(crate) Vec<Arg>);

pub(crate) enum Arg {
    Value(Lit),
    Named(Ident, Lit),
    List(Ident, Args),
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(Self(Punctuated::<Arg, Token![,]>::parse_terminated(input)?.into_iter().collect()))
    }
}

impl Parse for Arg {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Lit) {
            return Ok(Self::Value(input.parse()?));
        }
        let name = input.call(Ident::parse_any)?;
        if input.peek(syn::token::Paren) {
            let list;
            parenthesized!(list in input);
            return Ok(Self::List(name, list.parse()?));
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Err(Error::new(name.span(), format!("`{name}` needs a value: `{name} = …`")));
        }
        input.parse::<Token![=]>()?;
        if !input.peek(Lit) {
            return Err(input.error("expected a literal, such as \"text\" or 3"));
        }
        Ok(Self::Named(name, input.parse()?))
    }
}

impl Arg {
    /// The name of the option; values have none.
    pub(crate) fn name(&self) -> Option<&Ident> {
        match self {
            Self::Value(_) => None,
            Self::Named(name, _) | Self::List(name, _) => Some(name),
        }
    }

    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Value(value) => value.span(),
            Self::Named(name, _) | Self::List(name, _) => name.span(),
        }
    }

    /// The text of `name = "text"`.
    pub(crate) fn text(self) -> Result<Spanned<String>> {
        match self {
            Self::Named(_, literal) | Self::Value(literal) => text(&literal),
            Self::List(name, _) => Err(Error::new(name.span(), format!("write `{name} = \"…\"`"))),
        }
    }

    /// The number of `name = 3`.
    pub(crate) fn number<T: FromStr<Err: Display>>(self) -> Result<Spanned<T>> {
        match self {
            Self::Named(_, Lit::Int(literal)) | Self::Value(Lit::Int(literal)) => {
                Ok(Spanned { value: literal.base10_parse()?, span: literal.span() })
            }
            Self::Named(_, Lit::Float(literal)) | Self::Value(Lit::Float(literal)) => {
                Ok(Spanned { value: literal.base10_parse()?, span: literal.span() })
            }
            Self::Named(_, literal) | Self::Value(literal) => {
                Err(Error::new(literal.span(), "expected a number"))
            }
            Self::List(name, _) => Err(Error::new(name.span(), format!("write `{name} = …`"))),
        }
    }

    /// The arguments of `name(…)`; `name = value` counts as `name(value)`.
    pub(crate) fn list(self) -> Vec<Self> {
        match self {
            Self::List(_, args) => args.0,
            Self::Named(_, literal) | Self::Value(literal) => vec![Self::Value(literal)],
        }
    }
}

fn text(literal: &Lit) -> Result<Spanned<String>> {
    match literal {
        Lit::Str(text) => Ok(Spanned { value: text.value(), span: text.span() }),
        other => Err(Error::new(other.span(), "expected a text in double quotes")),
    }
}

/// An argument that does not belong where it stands.
pub(crate) fn unexpected(arg: &Arg, of: &str, accepted: &[&str]) -> Error {
    let accepted = accepted.join(", ");
    let message = match arg.name() {
        Some(name) => format!("unknown option `{name}` of {of}; accepted are {accepted}"),
        None => format!("unexpected value in {of}; accepted are {accepted}"),
    };
    Error::new(arg.span(), message)
}

/// Sets an option that may be given once.
pub(crate) fn set_once<T>(slot: &mut Option<T>, name: &str, span: Span, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(Error::new(span, format!("`{name}` is given twice")));
    }
    Ok(())
}
