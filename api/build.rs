//! Compiles the `.proto` files, without `protoc`, into messages, clients, servers and JSON writers.

#[path = "build/json.rs"]
mod json;

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let files = proto_files(Path::new("proto/tetragon"))?;
    let set = protox::compile(&files, ["proto"])?;

    fs::write(out.join("descriptors.bin"), without_source_info(&set).encode_to_vec())?;
    fs::write(out.join("json.rs"), json::generate(&set)?)?;
    let set = without_deprecation(set);
    messages_and_clients(&set, &out)?;
    servers(&set, &out)
}

fn proto_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn messages_and_clients(set: &FileDescriptorSet, out: &Path) -> Result<()> {
    let mut config = prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .build_server(false)
        // Sorted keys, as the JSON form wants them.
        .btree_map(".")
        .bytes(".")
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .out_dir(out)
        .compile_fds_with_config(set.clone(), config)?;
    Ok(())
}

/// Servers are generated apart from clients, because theirs is another type of event: an event is encoded once
/// and its bytes are shared by all streams.
fn servers(set: &FileDescriptorSet, out: &Path) -> Result<()> {
    let out = out.join("server");
    fs::create_dir_all(&out)?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".tetragon", "crate::tetragon")
        .extern_path(".tetragon.GetEventsResponse", "crate::EncodedEvent")
        .codec_path("crate::wire::ServerCodec")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .out_dir(out)
        .compile_fds(set.clone())?;
    Ok(())
}

fn without_source_info(set: &FileDescriptorSet) -> FileDescriptorSet {
    let mut set = set.clone();
    set.file.iter_mut().for_each(|file| file.source_code_info = None);
    set
}

/// Deprecated for readers still means filled by us: no compiler warnings for using these.
fn without_deprecation(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.message_type
            .iter_mut()
            .flat_map(|message| &mut message.field)
            .for_each(|field| field.options = None);
        file.enum_type.iter_mut().flat_map(|it| &mut it.value).for_each(|value| value.options = None);
        file.service.iter_mut().flat_map(|it| &mut it.method).for_each(|method| method.options = None);
    }
    set
}
