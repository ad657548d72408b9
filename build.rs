//! Compiles the protobuf definitions with protox, so that no `protoc` is needed.

/// Set in `.cargo/config.toml`, which cargo reads only where it is called.
const ALLOCATOR_SETTINGS: &str = "JEMALLOC_SYS_WITH_MALLOC_CONF";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(
        [
            "io/prometheus/client/metrics.proto",
            "quorumgate/v1/group.proto",
            "quorumgate/v1/raft.proto",
            "quorumgate/v1/cluster.proto",
        ],
        ["proto"],
    )?;
    let mut messages = prost_build::Config::new();
    messages
        .btree_map(["."])
        .bytes([".quorumgate.v1"])
        // Rare and large: kept apart, a metric takes a quarter of the memory while it is parsed.
        .boxed(".io.prometheus.client.Metric.histogram")
        .boxed(".io.prometheus.client.Metric.summary")
        .boxed(".io.prometheus.client.Counter.exemplar")
        .boxed(".io.prometheus.client.Bucket.exemplar");
    // Without `build_transport`, since the connections are of our own making.
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds_with_config(files, messages)?;
    println!("cargo:rerun-if-env-changed={ALLOCATOR_SETTINGS}");
    if std::env::var_os(ALLOCATOR_SETTINGS).is_none() {
        println!(
            "cargo:warning={ALLOCATOR_SETTINGS} is not set: call cargo in the project's own folder, \
             or the program takes more memory than it has to"
        );
    }
    // The compiler is part of the build information.
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = std::process::Command::new(rustc).arg("--version").output()?.stdout;
    let version = String::from_utf8(version)?;
    let version: Vec<&str> = version.split_whitespace().take(2).collect();
    println!("cargo:rustc-env=QUORUMGATE_RUSTC={}", version.join(" "));
    Ok(())
}
