//! Mistakes and what the compiler says to them: each `ui/*.rs` beside the expected `ui/*.stderr`.
//! After a change of wording, run with `TRYBUILD=overwrite` and read the difference.

#[test]
fn mistakes_are_pointed_at_with_what_is_accepted() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
