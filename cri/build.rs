//! Compiles the `.proto` file, without `protoc`.

use anyhow::Result;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let set = protox::compile(["proto/cri.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .btree_map(".")
        .server_mod_attribute(".", "#[cfg(feature = \"testing\")]")
        .compile_fds(set)?;
    Ok(())
}
