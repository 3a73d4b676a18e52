
/// What is not written yet: the kit shows these words. Delete this with its last use.
pub(super) fn to_write(file: &str, method: &str, promise: &str) -> Fault {
    Fault::new(FaultKind::Refused, format!("NOT WRITTEN YET: `{method}` in connectors/src/@name@/{file}. {promise}"))
}
