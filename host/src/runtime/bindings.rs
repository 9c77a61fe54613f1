//! Generated from `wit/`. Nothing of it appears outside this folder.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "module",
    imports: { default: trappable },
    exports: { default: async },
});

pub(super) use self::dormouse::workflow as imports;
pub(super) use self::dormouse::workflow::{definitions, types};
pub(super) use self::exports::dormouse::workflow::guest;
