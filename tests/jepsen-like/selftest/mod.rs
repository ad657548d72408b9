pub(crate) fn run(_args: &[String]) -> bool {
    true
}
