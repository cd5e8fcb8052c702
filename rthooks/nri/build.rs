//! Compiles the `.proto` files, without `protoc`.

use anyhow::Result;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let set = protox::compile(["proto/nri.proto", "proto/ttrpc.proto"], ["proto"])?;
    prost_build::Config::new().btree_map(["."]).bytes(["."]).compile_fds(set)?;
    Ok(())
}
