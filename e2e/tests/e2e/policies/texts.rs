//! Every operator on texts of every length, against a model of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use tetragon_e2e::kit::Env;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, expect_exactly, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(every_operator_on_texts).within(Duration::from_secs(60))]
}

fn every_operator_on_texts(env: &Env) -> Result<()> {
    let long_values = env.place().to_string() != "vm-5.10";
    // Lengths at the borders of the maps' classes.
    let mut words: Vec<String> =
        [1, 2, 27, 28, 29, 60, 61, 124, 125, 252, 253, 300, 508].iter().map(|length| word(*length)).collect();
    if long_values {
        words.extend([509, 1020, 1021, 2044, 2045, 4000].map(word));
    }
    for at in At::all(env) {
        let watch = start(env)?;
        let (mark, arg) = at.indices();
        let mut loaded: Vec<(String, &str, Vec<String>)> = Vec::new();
        for (number, text) in words.iter().enumerate() {
            loaded.push((format!("equal-{number}"), "Equal", vec![text.clone()]));
        }
        loaded.push(("equal-some".to_owned(), "Equal", vec![word(1), word(60), word(300)]));
        loaded.push(("not-equal-some".to_owned(), "NotEqual", vec![word(1), word(60), word(300)]));
        for (name, operator, values) in [
            ("prefix", "Prefix", vec![word(27), "zz".to_owned()]),
            ("prefix-256", "Prefix", vec![word(256)]),
            ("not-prefix", "NotPrefix", vec![word(27), "zz".to_owned()]),
            ("postfix", "Postfix", vec![end(&word(61), 20), "/zz".to_owned()]),
            ("postfix-127", "Postfix", vec![end(&word(253), 127)]),
            ("not-postfix", "NotPostfix", vec![end(&word(61), 20), "/zz".to_owned()]),
        ] {
            loaded.push((name.to_owned(), operator, values));
        }
        watch.agent.add_policies(loaded.iter().map(|(name, operator, values)| {
            let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
            policy(
                name,
                &format!(
                    "{}, selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}, \
                     {{index: {arg}, operator: {operator}, values: [{}]}}]}}]}}]",
                    at.prctl("string"),
                    quoted.join(", "),
                ),
            )
        }))?;
        for text in words.iter().map(String::as_str).chain(["zz", "a/zz", "other"]) {
            let shown = format!("s:{text}");
            let (ended, _) = watch.act(["syscall", PRCTL, MARK, &shown, ".", "exit", "0"])?;
            let expected: BTreeSet<String> = loaded
                .iter()
                .filter(|(_, operator, values)| matches(operator, values, text))
                .map(|(name, ..)| name.clone())
                .collect();
            expect_exactly(&watch, ended.pid, &expected, &format!("{at:?}, {} bytes", text.len()))?;
        }
        watch.finish()?;
    }
    Ok(())
}

/// A text of this length, none the end of another one.
fn word(length: usize) -> String {
    let mut text: String = ('a'..='z').cycle().take(length).collect();
    if length > 8 {
        let tail = format!("{length:05}");
        text.replace_range(length - 5.., &tail);
    }
    text
}

fn end(text: &str, length: usize) -> String {
    text[text.len() - length..].to_owned()
}

/// Whether a text matches, as the contract has it.
pub(super) fn matches(operator: &str, values: &[String], text: &str) -> bool {
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    match operator {
        "Equal" => any(&|value| text == value),
        "NotEqual" => !any(&|value| text == value),
        "Prefix" => any(&|value| text.starts_with(value)),
        "NotPrefix" => !any(&|value| text.starts_with(value)),
        "Postfix" => any(&|value| text.ends_with(value)),
        _ => !any(&|value| text.ends_with(value)),
    }
}
