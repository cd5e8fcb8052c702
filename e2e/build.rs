//! Compiles the part of the container runtime interface that tests call.

use anyhow::Result;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let set = protox::compile(["proto/cri.proto"], ["proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(set)?;
    Ok(())
}
