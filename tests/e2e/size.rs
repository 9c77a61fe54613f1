//! How small guests are.

/// Counted in what the guest profile makes.
#[test]
fn a_small_guest_stays_under_150_kb() {
    let bytes = dormouse_tests::guest("durable-sleep").len();
    assert!(bytes < 150_000, "durable-sleep has {bytes} bytes");
}
