//! Bytes and texts: in buffers, vectors and iterators, before and after the call, up to what fits.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeTruncatedBytes, ProcessKprobe};
use tetragon_e2e::kit::{Env, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, arg, expect_exactly, only, policy, start, texts};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(buffers_of_any_bytes).on(VMS).within(Duration::from_secs(30)),
        test!(buffers_that_the_call_fills).on(VMS).within(Duration::from_secs(30)),
        test!(buffers_in_vectors).on(VMS).within(Duration::from_secs(30)),
        test!(buffers_in_iterators).on(VMS).within(Duration::from_secs(30)),
        test!(buffers_without_an_end).on(VMS).within(Duration::from_secs(30)),
    ]
}

const READ: &str = "0";
const WRITE: &str = "1";
const READV: &str = "19";
const WRITEV: &str = "20";
const GETCWD: &str = "79";

/// The most bytes of one argument.
const MOST: usize = 4095;

/// One policy for what the actor does, called like its function. (The agent writes too, with each event.)
fn load(env: &Env, watch: &Watch<'_>, call: &str, hook: &str, filter: &str) -> Result<()> {
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    watch.agent.add_policy(&policy(
        &call.replace('_', "-"),
        &format!(
            "kprobes: [{{call: {call}, {hook}, \
             selectors: [{{matchBinaries: [{{operator: In, values: ['{actor}']}}]{filter}}}]}}]"
        ),
    ))
}

/// The event of one system call with this standard input.
fn call(
    env: &Env,
    watch: &Watch<'_>,
    policy: &str,
    input: impl Into<Stdio>,
    words: &[&str],
) -> Result<ProcessKprobe> {
    let words = ["syscall"].iter().chain(words).chain(&[".", "exit", "0"]);
    let (ended, _) = watch.run(env.actor(words)?.stdin(input))?;
    only(watch, policy, ended.pid)
}

fn bytes(text: &str) -> Arg {
    Arg::BytesArg(text.as_bytes().to_vec().into())
}

fn cut(text: &str, orig_size: usize) -> Arg {
    let bytes_arg = text.as_bytes().to_vec().into();
    Arg::TruncatedBytesArg(KprobeTruncatedBytes { bytes_arg, orig_size: orig_size as u64 })
}

fn returned(event: &ProcessKprobe) -> Option<&Arg> {
    event.r#return.as_ref().and_then(|it| it.arg.as_ref())
}

/// A text that is different at every place.
fn long(length: usize) -> String {
    let mut text: String = (0..length / 6 + 1).map(|number| format!("{number:05} ")).collect();
    text.truncate(length);
    text
}

/// Zero bytes are bytes as any other, in the buffer and in values.
fn buffers_of_any_bytes(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let cases = [
        ("equal", "Equal", vec!["a\0b".to_owned()]),
        ("equal-zero", "Equal", vec!["a\0b\0".to_owned(), "\0".to_owned()]),
        ("not-equal", "NotEqual", vec!["a\0b".to_owned()]),
        ("prefix", "Prefix", vec!["a\0".to_owned()]),
        ("not-prefix", "NotPrefix", vec!["a\0".to_owned(), "\0".to_owned()]),
        ("postfix", "Postfix", vec!["\0".to_owned(), "\0b".to_owned()]),
        ("not-postfix", "NotPostfix", vec!["b".to_owned()]),
    ];
    watch.agent.add_policies(cases.iter().map(|(name, operator, values)| {
        let quoted: Vec<String> =
            values.iter().map(|value| format!("\"{}\"", value.replace('\0', "\\0"))).collect();
        policy(
            name,
            &format!(
                "kprobes: [{{call: sys_prctl, syscall: true, args: [{{index: 0, type: int}}, \
                 {{index: 1, type: char_buf, sizeArgIndex: 3}}], \
                 selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}, \
                 {{index: 1, operator: {operator}, values: [{}]}}]}}]}}]",
                quoted.join(", ")
            ),
        )
    }))?;
    for text in ["a\0b", "a\0b\0", "a\0", "a", "\0", "\0\0", "b", "xa\0b"] {
        let hexadecimal = text.bytes().fold("h:".to_owned(), |shown, byte| format!("{shown}{byte:02x}"));
        let size = text.len().to_string();
        let (ended, _) = watch.act(["syscall", PRCTL, MARK, &hexadecimal, &size, ".", "exit", "0"])?;
        let matching: BTreeSet<String> = cases
            .iter()
            .filter(|(_, operator, values)| texts::matches(operator, values, text))
            .map(|(name, ..)| (*name).to_owned())
            .collect();
        expect_exactly(&watch, ended.pid, &matching, &format!("{text:?}"))?;
        for name in matching {
            let event = only(&watch, &name, ended.pid)?;
            ensure!(arg(&event, 1)? == &bytes(text), "{event:?}");
        }
    }
    watch.finish()
}

/// `returnCopy`: what is in the buffer after the call, and as much of it as the call says.
fn buffers_that_the_call_fills(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let fills = |index: u32, more: &str| {
        format!(
            "syscall: true, args: [{{index: {index}, type: char_buf, returnCopy: true, label: filled}}{more}], \
             return: true, returnArg: {{index: 0, type: int64}}"
        )
    };
    // The actor reads from a file of its own when it starts.
    let descriptor = ", matchArgs: [{index: 0, operator: Equal, values: ['0', '99']}]";
    load(env, &watch, "sys_read", &fills(1, ", {index: 0, type: int}"), descriptor)?;
    load(env, &watch, "sys_getcwd", &fills(0, ""), "")?;
    let text = long(6000);
    std::fs::write(env.file("text"), &text)?;
    let file = || File::open(env.file("text")).context("open a file");

    let event = call(env, &watch, "sys-read", file()?, &[READ, "0", "unmapped", "100"])?;
    ensure!(arg(&event, 0)? == &bytes(&text[..100]) && event.args[0].label == "filled", "{event:?}");
    ensure!(returned(&event) == Some(&Arg::LongArg(100)), "{event:?}");
    // A buffer may be longer than what there is to read.
    std::fs::write(env.file("short"), "short")?;
    let short = File::open(env.file("short"))?;
    let event = call(env, &watch, "sys-read", short, &[READ, "0", "unmapped", "4000"])?;
    ensure!(arg(&event, 0)? == &bytes("short"), "{event:?}");
    let room = format!("s:{}", "-".repeat(6000));
    let event = call(env, &watch, "sys-read", file()?, &[READ, "0", &room, "4095"])?;
    ensure!(arg(&event, 0)? == &bytes(&text[..MOST]), "{event:?}");
    let event = call(env, &watch, "sys-read", file()?, &[READ, "0", &room, "5000"])?;
    ensure!(arg(&event, 0)? == &cut(&text[..MOST], 5000), "{event:?}");
    // At the end of the file, and an error: there is nothing.
    let event = call(env, &watch, "sys-read", Stdio::null(), &[READ, "0", &room, "100"])?;
    ensure!(arg(&event, 0)? == &bytes("") && returned(&event) == Some(&Arg::LongArg(0)), "{event:?}");
    let event = call(env, &watch, "sys-read", Stdio::null(), &[READ, "99", &room, "100"])?;
    ensure!(arg(&event, 0)? == &bytes("") && returned(&event) == Some(&Arg::LongArg(-9)), "{event:?}");

    let event = call(env, &watch, "sys-getcwd", Stdio::null(), &[GETCWD, "unmapped", "4096"])?;
    let directory = format!("{}\0", env.dir().display());
    ensure!(arg(&event, 0)? == &bytes(&directory), "{event:?}");
    watch.finish()
}

fn buffers_in_vectors(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let vectors = "{index: 1, type: char_iovec, sizeArgIndex: 3";
    load(env, &watch, "sys_writev", &format!("syscall: true, args: [{vectors}}}]"), "")?;
    let fills = format!(
        "syscall: true, args: [{vectors}, returnCopy: true}}], \
         return: true, returnArg: {{index: 0, type: int64}}"
    );
    load(env, &watch, "sys_readv", &fills, "")?;
    let write = |vectors: &str, count: &str| {
        let vectors = format!("v:{vectors}");
        call(env, &watch, "sys-writev", Stdio::null(), &[WRITEV, "0", &vectors, count])
    };
    let event = write("first|second||third", "4")?;
    ensure!(arg(&event, 0)? == &bytes("firstsecondthird"), "{event:?}");
    let event = write("first|second", "1")?;
    ensure!(arg(&event, 0)? == &bytes("first"), "{event:?}");
    let event = write("first|second", "0")?;
    ensure!(arg(&event, 0)? == &bytes(""), "{event:?}");
    let event = write("1|2|3|4|5|6|7", "7")?;
    ensure!(arg(&event, 0)? == &bytes("1234567"), "{event:?}");
    // Of more than seven, the first seven.
    let event = write("1|2|3|4|5|6|7|8|9", "9")?;
    ensure!(arg(&event, 0)? == &cut("1234567", 7), "{event:?}");
    // All of them together are as long as one argument can be.
    let text = long(6000);
    let event = write(&format!("{}|{}", &text[..4000], &text[4000..]), "2")?;
    ensure!(arg(&event, 0)? == &cut(&text[..MOST], 6000), "{event:?}");

    std::fs::write(env.file("text"), "what is read")?;
    let read = |vectors: &str| {
        let file = File::open(env.file("text"))?;
        call(env, &watch, "sys-readv", file, &[READV, "0", vectors, "2"])
    };
    let event = read("v:....|....")?;
    ensure!(arg(&event, 0)? == &bytes("what is "), "{event:?}");
    ensure!(returned(&event) == Some(&Arg::LongArg(8)), "{event:?}");
    // What lies behind what was read is not of the call.
    let event = read("v:....|....................")?;
    ensure!(arg(&event, 0)? == &bytes("what is read"), "{event:?}");
    ensure!(returned(&event) == Some(&Arg::LongArg(12)), "{event:?}");

    let refused = watch.agent.add_policy(&policy(
        "filtered",
        &format!(
            "kprobes: [{{call: sys_writev, syscall: true, args: [{vectors}}}], \
             selectors: [{{matchArgs: [{{index: 1, operator: Equal, values: [x]}}]}}]}}]"
        ),
    ));
    let refused = format!("{:#}", refused.err().context("a filter on vectors was accepted")?);
    ensure!(refused.contains("there are no filters on this type"), "{refused}");
    watch.finish()
}

/// The first segment, as kernels hand it on: of one buffer since 6.1 in another form than of vectors.
fn buffers_in_iterators(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let hook = "syscall: false, args: [{index: 1, type: iov_iter, maxData: true, label: sent}]";
    load(env, &watch, "sock_write_iter", hook, "")?;
    let send = |words: &[&str]| {
        let (socket, _other) = UnixStream::pair()?;
        call(env, &watch, "sock-write-iter", OwnedFd::from(socket), words)
    };
    let event = send(&[WRITE, "0", "s:a buffer of bytes", "11"])?;
    ensure!(arg(&event, 0)? == &bytes("a buffer of") && event.args[0].label == "sent", "{event:?}");
    let event = send(&[WRITEV, "0", "v:first|second", "2"])?;
    ensure!(arg(&event, 0)? == &bytes("first"), "{event:?}");
    let event = send(&[WRITEV, "0", "v:only", "1"])?;
    ensure!(arg(&event, 0)? == &bytes("only"), "{event:?}");
    let text = long(6000);
    let event = send(&[WRITE, "0", &format!("s:{text}"), "6000"])?;
    ensure!(arg(&event, 0)? == &cut(&text[..MOST], 6000), "{event:?}");
    watch.finish()
}

/// Texts and buffers of more than can be read: the beginning, and of buffers how many bytes there were.
fn buffers_without_an_end(env: &Env) -> Result<()> {
    let watch = start(env)?;
    for (name, second, more) in [
        ("text", "string", ""),
        ("bytes", "char_buf, sizeArgIndex: 3", ""),
        ("more-bytes", "char_buf, sizeArgIndex: 3, maxData: true", ""),
        ("prefix", "string", ", {index: 1, operator: Prefix, values: ['00000 00001']}"),
        ("postfix", "string", ", {index: 1, operator: Postfix, values: ['00681 006']}"),
    ] {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "{}, selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}{more}]}}]}}]",
                At::Kprobe.prctl(second)
            ),
        ))?;
    }
    for length in [100, MOST - 1, MOST, MOST + 1, 20_000] {
        let text = long(length);
        let given = (format!("s:{text}"), length.to_string());
        let (ended, _) = watch.act(["syscall", PRCTL, MARK, &given.0, &given.1, ".", "exit", "0"])?;
        let mut expected = BTreeSet::from(["text", "bytes", "more-bytes", "prefix"].map(str::to_owned));
        // A longer one is compared as far as it was read.
        if length >= MOST {
            expected.insert("postfix".to_owned());
        }
        expect_exactly(&watch, ended.pid, &expected, &format!("{length} bytes"))?;
        let event = only(&watch, "text", ended.pid)?;
        let beginning = &text[..length.min(MOST)];
        ensure!(arg(&event, 1)? == &Arg::StringArg(beginning.to_owned()), "{length}: {event:?}");
        let whole = if length > MOST { cut(beginning, length) } else { bytes(&text) };
        for name in ["bytes", "more-bytes"] {
            let event = only(&watch, name, ended.pid)?;
            ensure!(arg(&event, 1)? == &whole, "{length}: {event:?}");
        }
    }
    watch.finish()
}
