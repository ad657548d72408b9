#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| quorumgate::fuzzing::path(data));
