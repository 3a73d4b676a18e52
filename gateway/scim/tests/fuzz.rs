//! A short run of the fuzzer; `cargo run --release -p scim --example fuzz -- --inputs N --seed S` is the long one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends with what it did not expect")]

#[path = "fuzz/mod.rs"]
mod fuzz;

/// Far more than any input needs on a busy machine in a build without optimisation: what takes longer grows faster
/// than its input.
const BOUND: std::time::Duration = std::time::Duration::from_secs(3);

#[test]
fn no_input_makes_a_reader_panic_overflow_or_stall() {
    for outcome in fuzz::run(8_000, 1) {
        let (took, text) = &outcome.slowest;
        println!(
            "fuzz {}: {} inputs, {} accepted, slowest {took:?} ({} bytes)",
            outcome.target,
            outcome.inputs,
            outcome.accepted,
            text.len()
        );
        assert_eq!(outcome.findings, [] as [String; 0], "{}", outcome.target);
        assert!(outcome.inputs >= 8_000, "{}: only {} inputs", outcome.target, outcome.inputs);
        // Refusing everything would find nothing.
        assert!(outcome.accepted > 200, "{}: only {} accepted", outcome.target, outcome.accepted);
        assert!(*took < BOUND, "{}: {took:?} for {text:.2000}", outcome.target);
    }
}
