//! The attribute that turns an async function into a service.

use proc_macro::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, ReturnType, Type, parse_macro_input};

/// Turns an async function into a service of the same name as a Rust item, to be registered as `&function_name`.
///
/// ```ignore
/// /// Returns basic information about a customer.
/// #[zeugma::service(name = "get-customer", namespace = "my.api.customer")]
/// async fn get_customer(ctx: &Context, input: CustomerRequest) -> Result<Customer> { ... }
/// ```
///
/// The doc comment is the service's documentation. The second argument is its input: any type with `Deserialize` and
/// `JsonSchema`, or `Request` for the raw request, or left out. The result is any type with `Serialize` and
/// `JsonSchema`, or `Response` to set status and headers, or `()`. Without `name`, the function's name with dashes
/// is taken.
#[proc_macro_attribute]
pub fn service(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    let attributes = parse_macro_input!(
        attributes with syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated
    );
    expand(attributes.into_iter().collect(), function).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(attributes: Vec<Meta>, mut function: ItemFn) -> Result<proc_macro2::TokenStream, Error> {
    let (mut name, mut namespace) = (None, None);
    for meta in &attributes {
        let Meta::NameValue(pair) = meta else {
            return Err(Error::new(meta.span(), "write name = \"...\" or namespace = \"...\""));
        };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else {
            return Err(Error::new(pair.value.span(), "a text is expected"));
        };
        match pair.path.get_ident().map(ToString::to_string).as_deref() {
            Some("name") => name = Some(text.value()),
            Some("namespace") => namespace = Some(text.value()),
            _ => return Err(Error::new(pair.path.span(), "known: name, namespace")),
        }
    }
    if function.sig.asyncness.is_none() {
        return Err(Error::new(function.sig.span(), "a service is an async fn"));
    }
    let ident = function.sig.ident.clone();
    let visibility = function.vis.clone();
    let name = name.unwrap_or_else(|| ident.to_string().replace('_', "-"));
    let namespace = match namespace {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    };
    let docs = documentation(&function);
    function.attrs.retain(|a| !a.path().is_ident("doc"));

    let mut arguments = function.sig.inputs.iter().skip(1);
    let input = match (arguments.next(), arguments.next()) {
        (None, _) => None,
        (Some(FnArg::Typed(argument)), None) => Some((*argument.ty).clone()),
        (_, extra) => {
            return Err(Error::new(extra.span(), "a service takes a context and at most one input"));
        }
    };
    let output = output(&function.sig.output)?;

    let inner = quote::format_ident!("{}_body", ident);
    function.sig.ident = inner.clone();
    function.vis = syn::Visibility::Inherited;
    let decoder = |ty: &Type| {
        quote! {{
            static DECODER: ::zeugma::private::OnceLock<::zeugma::private::Decoder<#ty>> =
                ::zeugma::private::OnceLock::new();
            DECODER.get_or_init(::zeugma::private::Decoder::new)
        }}
    };
    let (input_schema, call) = match &input {
        None => (quote!(::core::option::Option::None), quote!(#inner(ctx))),
        Some(ty) if is_named(ty, "Request") => {
            (quote!(::core::option::Option::None), quote!(#inner(ctx, request)))
        }
        Some(ty) => {
            let decoder = decoder(ty);
            (
                quote!(::core::option::Option::Some(#decoder.schema().clone())),
                quote!(#inner(ctx, #decoder.decode(&request)?)),
            )
        }
    };
    let (output_schema, answer) = match &output {
        Type::Tuple(unit) if unit.elems.is_empty() => (
            quote!(::core::option::Option::None),
            quote!({ #call.await?; ::core::result::Result::Ok(::zeugma::Response::default()) }),
        ),
        ty if is_named(ty, "Response") => (quote!(::core::option::Option::None), quote!(#call.await)),
        ty => (
            quote!(::core::option::Option::Some(::zeugma::private::schemars::schema_for!(#ty))),
            quote!(::zeugma::Response::json(&#call.await?)),
        ),
    };
    let reads_json = matches!(&input, Some(ty) if !is_named(ty, "Request"));
    let summary = format!("The service `{name}`.");
    Ok(quote! {
        #[doc = #summary]
        #[doc = ""]
        #[doc = #docs]
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #ident;

        #function

        #[::zeugma::private::async_trait]
        impl ::zeugma::Service for #ident {
            fn info(&self) -> ::zeugma::ServiceInfo {
                let mut info = ::zeugma::ServiceInfo::new(#name, #namespace, #docs);
                info.input = #input_schema;
                info.output = #output_schema;
                info
            }

            fn reads_json(&self) -> bool {
                #reads_json
            }

            async fn call(
                &self,
                ctx: &::zeugma::Context,
                request: ::zeugma::Request,
            ) -> ::zeugma::Result<::zeugma::Response> {
                let _ = &request;
                #answer
            }
        }
    })
}

fn documentation(function: &ItemFn) -> String {
    let lines = function.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The `T` of `Result<T>`.
fn output(returns: &ReturnType) -> Result<Type, Error> {
    let wrong = || Error::new(returns.span(), "a service returns Result<T>");
    let ReturnType::Type(_, ty) = returns else { return Err(wrong()) };
    let Type::Path(path) = &**ty else { return Err(wrong()) };
    let last = path.path.segments.last().filter(|s| s.ident == "Result").ok_or_else(wrong)?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return Err(wrong()) };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(ty)) => Ok(ty.clone()),
        _ => Err(wrong()),
    }
}

fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == name))
}
