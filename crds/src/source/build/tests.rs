use super::*;

fn tree(text: &str) -> Node {
    let mut findings = Vec::new();
    let node = parse(text, &mut findings).expect("parses");
    assert_eq!(findings, []);
    node
}

fn refused(text: &str) -> String {
    parse(text, &mut Vec::new()).expect_err("refused").to_string()
}

fn text_of(node: Option<&Node>) -> &str {
    match node.map(|node| &node.content) {
        Some(Content::Scalar(scalar)) => &scalar.text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_keep_their_text_and_everything_its_place() {
    let node = tree("a: 0755\nb:\n  - 'yes'\n  - yes\n");
    assert_eq!(text_of(node.get("a")), "0755");
    let path = Path::root().field("b").index(1);
    assert_eq!(node.locate(&path), Some(Position { line: 4, column: 5 }));
    assert_eq!(node.locate(&Path::root().field("b")), Some(Position { line: 2, column: 1 }));
    // Of what is missing, the place of what should contain it.
    assert_eq!(node.locate(&path.field("x")), Some(Position { line: 4, column: 5 }));
}

#[test]
fn every_duplicate_is_a_finding_and_the_first_one_counts() {
    let mut findings = Vec::new();
    let node = parse("a: 1\na: 2\nb:\n- c: 1\n  c: 2\n  d: 3\n", &mut findings).expect("parses");
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "2:1: a: duplicate field; it was given in line 1 already; remove one of them",
            "5:3: b[0].c: duplicate field; it was given in line 4 already; remove one of them"
        ]
    );
    assert_eq!(text_of(node.get("a")), "1");
}

#[test]
fn aliases_and_merges_are_expanded() {
    let node = tree("base: &b {x: 1, y: 2}\nuse: *b\nmerged:\n  <<: *b\n  y: 3\n");
    assert_eq!(text_of(node.get("use").and_then(|node| node.get("x"))), "1");
    let merged = node.get("merged").expect("there");
    assert_eq!((text_of(merged.get("x")), text_of(merged.get("y"))), ("1", "3"));
    assert!(refused("a: {<<: 5}").contains("can be merged"));
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }
    assert!(refused(&text).contains("over 100000 values"), "{}", refused(&text));

    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(refused(&text).contains("more than 64 levels"), "{}", refused(&text));
    assert!(refused("a: &a [*a]").contains("alias inside"));
    assert!(refused("a: *nobody").starts_with("1:4: not YAML"));
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(1 << 16), "- ".repeat(1 << 16), "{a: ".repeat(1 << 16)] {
        assert!(!refused(&text).is_empty());
    }
}

#[test]
fn there_is_one_document() {
    assert_eq!(text_of(tree("---\na: b\n---\n").get("a")), "b");
    assert_eq!(text_of(tree("# a comment\n---\na: b\n...\n").get("a")), "b");
    assert_eq!(refused("a: b\n---\nc: d\n"), "3:1: a second document; give each policy a text of its own");
    for text in ["", "---\n", "# nothing\n", "~", "null"] {
        assert!(refused(text).starts_with("the text is empty"), "{text:?}");
    }
}

#[test]
fn keys_are_texts_and_tags_are_those_of_yaml() {
    assert!(refused("[a, b]: c").contains("must be a text"));
    assert!(refused("? {a: b}\n: c").contains("must be a text"));
    assert!(refused("a: !custom b").contains("!custom"));
    assert!(refused("a: !!binary aGk=").contains("binary"));
    let node = tree("a: !!str 1\nb: !!int '1'\n1: c");
    assert!(matches!(&node.get("a").expect("there").content, Content::Scalar(scalar) if scalar.quoted));
    assert!(matches!(&node.get("b").expect("there").content, Content::Scalar(scalar) if !scalar.quoted));
    assert_eq!(text_of(node.get("1")), "c");
}

#[test]
fn a_text_has_a_limit() {
    assert!(refused(&" ".repeat(LONGEST_TEXT + 1)).contains("the limit is"));
}
