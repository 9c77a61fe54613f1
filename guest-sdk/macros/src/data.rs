//! `#[data]`: the derives, and for plain types a schema that is text from the start.
//!
//! Plain is what serde and schemars treat alike whatever their attributes could say, as there are
//! none: structs with named fields and enums without contents, without type parameters. A type that
//! is not plain gets its schema from schemars alone, so that nothing has to be understood twice.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Expr, Field, Fields, Lit, Meta, Type, Variant};

pub(crate) fn expand(item: &DeriveInput) -> TokenStream {
    let describe = describe(item);
    quote! {
        #[derive(
            ::dormouse_sdk::__private::serde::Serialize,
            ::dormouse_sdk::__private::serde::Deserialize,
            ::dormouse_sdk::__private::schemars::JsonSchema,
        )]
        #[serde(crate = "::dormouse_sdk::__private::serde")]
        #[schemars(crate = "::dormouse_sdk::__private::schemars")]
        #item

        #describe
    }
}

/// How a plain type describes itself.
fn describe(item: &DeriveInput) -> Option<TokenStream> {
    let ident = &item.ident;
    let name = ident.unraw().to_string();
    // Other names would have to be escaped in references.
    let plain = item.generics.params.is_empty() && has_no_options(&item.attrs) && name.is_ascii();
    if !plain {
        return None;
    }
    let body = match &item.data {
        Data::Struct(data) => fields(&data.fields)?,
        Data::Enum(data) => variants(data)?,
        Data::Union(_) => return None,
    };
    let description = doc(&item.attrs)?;
    Some(quote! {
        impl ::dormouse_sdk::__private::Describe for #ident {
            fn describe(schema: &mut ::dormouse_sdk::__private::Schema) {
                // Within the function, where field types may say `Self`.
                let named = const {
                    &::dormouse_sdk::__private::Named {
                        name: #name,
                        description: #description,
                        body: ::dormouse_sdk::__private::Body::#body,
                    }
                };
                schema.named(::std::any::type_name::<Self>(), named);
            }
        }
    })
}

fn fields(fields: &Fields) -> Option<TokenStream> {
    let Fields::Named(fields) = fields else { return None };
    let fields = fields.named.iter().map(field).collect::<Option<Vec<_>>>()?;
    Some(quote! {
        Struct(|fields: &mut ::dormouse_sdk::__private::Fields<'_>| {
            #[allow(unused_imports, reason = "only what fits the types of the fields")]
            use ::dormouse_sdk::__private::{PickPlain as _, PickSchemars as _};
            #(#fields)*
            let _ = fields;
        })
    })
}

fn field(field: &Field) -> Option<TokenStream> {
    let name = json(&field.ident.as_ref()?.unraw().to_string());
    let (ty, description, option) = (&field.ty, doc(&field.attrs)?, is_option(&field.ty));
    has_no_options(&field.attrs).then(|| {
        quote! {
            (&::dormouse_sdk::__private::Probe::<#ty>::new())
                .pick()
                .field::<#ty>(fields, #name, #description, #option);
        }
    })
}

fn variants(data: &DataEnum) -> Option<TokenStream> {
    // A described variant becomes a schema of its own, which is for schemars to write.
    let is_plain = |variant: &Variant| matches!(variant.fields, Fields::Unit) && variant.attrs.is_empty();
    if data.variants.is_empty() || !data.variants.iter().all(is_plain) {
        return None;
    }
    let names: Vec<_> =
        data.variants.iter().map(|variant| json(&variant.ident.unraw().to_string())).collect();
    let names = format!("[{}]", names.join(","));
    Some(quote!(Enum(#names)))
}

/// Whether no attribute could change how the type is read, written or described.
fn has_no_options(attributes: &[Attribute]) -> bool {
    let harmless = ["doc", "allow", "expect", "warn", "must_use", "derive", "non_exhaustive"];
    attributes.iter().all(|attribute| harmless.iter().any(|name| attribute.path().is_ident(name)))
}

/// A doc comment as a JSON string, or nothing if there is none. `None` when only schemars can read
/// it: one that is made by a macro or begins with a title.
fn doc(attributes: &[Attribute]) -> Option<String> {
    let docs: Vec<_> = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    let is_text = |attribute: &&Attribute| match &attribute.meta {
        Meta::NameValue(meta) => matches!(&meta.value, Expr::Lit(lit) if matches!(lit.lit, Lit::Str(_))),
        _ => false,
    };
    let text = crate::expand::description(&docs);
    let plain = docs.iter().all(is_text) && !text.starts_with('#');
    plain.then(|| if text.is_empty() { String::new() } else { json(&text) })
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// schemars looks for the type of the standard library, by name as here is all that is known.
fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Option")
}
