//! Suggestions for words that were mistyped.

/// "did you mean …?", if one of the words is near.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Comparing costs the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let folded = word.to_ascii_lowercase();
    // "tcp" is far from "IPPROTO_TCP" by letters only.
    let ending = format!("_{folded}");
    let distance = |candidate: &str| {
        let candidate = candidate.to_ascii_lowercase();
        if candidate.ends_with(&ending) { 1 } else { strsim::osa_distance(&folded, &candidate) }
    };
    words
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .min_by_key(|(distance, candidate)| (*distance, candidate.len(), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5 && *distance < candidate.len())
        .map(|(_, candidate)| format!("did you mean {candidate:?}?"))
}

/// The nearest word if there is one, else all of them.
pub(crate) fn one_of<'a>(word: &str, words: impl IntoIterator<Item = &'a str> + Clone) -> String {
    nearest(word, words.clone()).unwrap_or_else(|| {
        let words: Vec<&str> = words.into_iter().collect();
        format!("one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_far_ones_are_listed() {
        assert_eq!(
            nearest("unit64", ["int", "uint64", "int64"]).as_deref(),
            Some("did you mean \"uint64\"?")
        );
        assert_eq!(nearest("equal", ["NotEqual", "Equal"]).as_deref(), Some("did you mean \"Equal\"?"));
        assert_eq!(
            nearest("tcp", ["IPPROTO_IP", "IPPROTO_TCP"]).as_deref(),
            Some("did you mean \"IPPROTO_TCP\"?")
        );
        assert_eq!(nearest("elephant", ["int", "uint64"]), None);
        assert_eq!(nearest("", ["In"]), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), ["x"]), None);
        assert_eq!(one_of("elephant", ["a1", "b2"]), "one of a1, b2");
    }
}
