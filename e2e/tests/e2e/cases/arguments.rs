//! What a process was started with.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Result, ensure};
use tetragon_e2e::kit::{Env, Watch};
use tetragon_e2e::{Test, test};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(no_arguments),
        test!(empty_arguments),
        test!(spaces_and_quotes),
        test!(arguments_that_are_not_utf8),
        test!(arguments_of_100_kib),
        test!(an_argument_list_without_even_a_name),
    ]
}

/// Runs the actor with these arguments, and compares how they are shown.
/// `exact`: the line could mean another list, so the list itself must be told as well.
fn shown(env: &Env, arguments: &[&OsStr], expected: &str, exact: bool) -> Result<()> {
    let watch = Watch::start(env)?;
    let (ended, life) = watch.act(arguments)?;
    ended.expect_code(0)?;
    let process = life.only()?;
    if process.arguments != expected {
        // The whole of a long one helps nobody.
        let differs =
            process.arguments.bytes().zip(expected.bytes()).take_while(|(left, right)| left == right).count();
        let near = |text: &str| {
            String::from_utf8_lossy(&text.as_bytes()[differs.min(text.len())..])
                .chars()
                .take(80)
                .collect::<String>()
        };
        anyhow::bail!(
            "{} bytes of arguments instead of {}; from byte {differs} on {:?} instead of {:?}",
            process.arguments.len(),
            expected.len(),
            near(&process.arguments),
            near(expected)
        );
    }
    ensure!(!process.flags.contains("Args"), "flags are {:?}", process.flags);
    let actor = env.binary("actor")?;
    let list: Vec<&[u8]> = [actor.as_os_str()].iter().chain(arguments).map(|word| word.as_bytes()).collect();
    let told: Vec<&[u8]> = process.argv.iter().map(AsRef::as_ref).collect();
    ensure!(told == if exact { list } else { Vec::new() }, "argv is {told:?}");
    watch.finish()
}

fn words<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).collect()
}

fn no_arguments(env: &Env) -> Result<()> {
    shown(env, &[], "", false)
}

fn empty_arguments(env: &Env) -> Result<()> {
    // An empty argument is shown as nothing between two spaces; a leading one cannot be seen in the text.
    shown(env, &words(&["", "exit", "0", "", "", "x"]), "exit 0   x", true)
}

fn spaces_and_quotes(env: &Env) -> Result<()> {
    let arguments =
        ["exit", "0", "a b", "say \"hi\"", "\"quoted\"", "tab\there", "line\nfeed", "back\\slash", "'"];
    let expected = "exit 0 \"a b\" \"say \"hi\"\" \"quoted\" tab\there line\nfeed back\\slash '";
    shown(env, &words(&arguments), expected, true)
}

fn arguments_that_are_not_utf8(env: &Env) -> Result<()> {
    let odd = OsString::from_vec(b"a\xff\xfeb\xc3\x28".to_vec());
    let mut arguments = words(&["exit", "0"]);
    arguments.push(&odd);
    // One replacement for each run of bytes that are not text.
    shown(env, &arguments, "exit 0 a\u{fffd}b\u{fffd}(", true)
}

fn arguments_of_100_kib(env: &Env) -> Result<()> {
    let long = "l".repeat(60 * 1024);
    let many: Vec<String> = (0..40).map(|number| format!("{number:0>1024}")).collect();
    let mut arguments = words(&["exit", "0"]);
    arguments.push(OsStr::new(&long));
    arguments.extend(many.iter().map(OsStr::new));
    shown(env, &arguments, &format!("exit 0 {long} {}", many.join(" ")), false)
}

fn an_argument_list_without_even_a_name(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let actor = env.binary("actor")?;
    // Newer kernels put an empty name there.
    let (ended, life) = watch.act([OsStr::new("exec"), actor.as_os_str()])?;
    ended.expect_code(0)?;
    let process = life.last()?;
    ensure!(process.arguments.is_empty(), "arguments are {:?}", process.arguments);
    ensure!(life.execs.len() == 2, "{} execs", life.execs.len());
    watch.finish()
}
