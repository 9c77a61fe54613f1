//! What `wit-bindgen` makes of the `wit/` folder. Authors never see these types; the macros name
//! them in what they expand to.

wit_bindgen::generate!({
    path: "../wit",
    world: "module",
    pub_export_macro: true,
    export_macro_name: "export_module",
    default_bindings_module: "::dormouse_sdk::__private::bindings",
});
