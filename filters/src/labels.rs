//! Kubernetes label selectors: `app=web,tier in (a, b),!canary,weight>3`.

use std::collections::BTreeMap;

/// Requirements that must all hold.
#[derive(Debug)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text.trim_start() };
        let mut requirements = Vec::new();
        while !parser.rest.is_empty() {
            requirements.push(parser.requirement()?);
            if !parser.rest.is_empty() {
                parser.expect(",")?;
                if parser.rest.is_empty() {
                    return Err("a requirement is missing behind the last comma".to_owned());
                }
            }
        }
        Ok(Self(requirements))
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.test.holds(labels.get(&requirement.key)))
    }
}

impl Test {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|text| text.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
            Self::NotIn(unwanted) => value.is_none_or(|value| !unwanted.contains(value)),
            Self::Above(limit) => number().is_some_and(|number| number > *limit),
            Self::Below(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.take("!") {
            return Ok(Requirement { key: self.key()?, test: Test::Missing });
        }
        let key = self.key()?;
        let test = if self.take("!=") {
            Test::NotIn(vec![self.value()?])
        } else if self.take("==") || self.take("=") {
            Test::In(vec![self.value()?])
        } else if self.take(">") {
            Test::Above(self.number()?)
        } else if self.take("<") {
            Test::Below(self.number()?)
        } else if self.rest.is_empty() || self.rest.starts_with(',') {
            Test::Exists
        } else {
            match self.word() {
                "in" => Test::In(self.values()?),
                "notin" => Test::NotIn(self.values()?),
                other => return Err(format!("{other:?} behind key {key:?} is not an operator")),
            }
        };
        Ok(Requirement { key, test })
    }

    fn take(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest.trim_start();
        true
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("{token:?} is missing before {:?}", self.rest)) }
    }

    fn word(&mut self) -> &'a str {
        let special = |character: char| character.is_whitespace() || "!=<>(),".contains(character);
        let (word, rest) = self.rest.split_at(self.rest.find(special).unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        word
    }

    fn key(&mut self) -> Result<String, String> {
        let key = self.word();
        let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        let valid_prefix = prefix.is_none_or(|prefix| {
            !prefix.is_empty()
                && prefix.len() <= 253
                && prefix
                    .bytes()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-.".contains(&it))
        });
        if name.is_empty() || !is_name(name) || !valid_prefix {
            return Err(format!("{key:?} is not a label key"));
        }
        Ok(key.to_owned())
    }

    fn value(&mut self) -> Result<String, String> {
        let value = self.word();
        if !is_name(value) {
            return Err(format!("{value:?} is not a label value"));
        }
        Ok(value.to_owned())
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        self.expect("(")?;
        if self.take(")") {
            return Err("the list of values is empty".to_owned());
        }
        let mut values = vec![self.value()?];
        while self.take(",") {
            values.push(self.value()?);
        }
        self.expect(")")?;
        Ok(values)
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word();
        word.parse().map_err(|_| format!("{word:?} is not a whole number"))
    }
}

/// Whether a text can be the value of a label, or the name part of its key; the empty text can be a value.
fn is_name(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str) -> bool {
        let labels = [("app", "web"), ("tier", ""), ("weight", "5"), ("k8s.io/name", "x")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Selector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn requirements_that_hold() {
        for selector in [
            "",
            "app",
            "!other",
            "app=web",
            "app == web",
            "app!=db",
            "other!=db",
            "app in (db, web)",
            "app notin (db,cache)",
            "other notin (a)",
            "tier=",
            "tier in (,a)",
            "weight>4",
            " weight < 6 , app ",
            "k8s.io/name=x,app=web",
        ] {
            assert!(matches(selector), "{selector}");
        }
    }

    #[test]
    fn requirements_that_do_not_hold() {
        for selector in [
            "other",
            "!app",
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web)",
            "weight>5",
            "app<1",
            "app,other",
        ] {
            assert!(!matches(selector), "{selector}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (selector, reason) in [
            ("=x", "\"\" is not a label key"),
            ("a b", "\"b\" behind key \"a\" is not an operator"),
            ("a in ()", "the list of values is empty"),
            ("a in (x", "\")\" is missing before \"\""),
            ("a in x", "\"(\" is missing before \"x\""),
            ("a>b", "\"b\" is not a whole number"),
            ("a,", "a requirement is missing behind the last comma"),
            ("a=-x", "\"-x\" is not a label value"),
            ("UPPER/a", "\"UPPER/a\" is not a label key"),
        ] {
            assert_eq!(Selector::parse(selector).unwrap_err(), reason, "{selector}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_selector_makes_the_parser_panic(text: String) {
            let _ = Selector::parse(&text);
        }
    }
}
