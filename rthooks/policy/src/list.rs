//! Lists in one value of a command line or a configuration file.

/// The parts between commas, without spaces around them and without empty ones.
#[must_use]
pub fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Like [`names`], for regular expressions: a comma inside `{}`, as in `team-[a-z]{2,8}`, does not separate.
#[must_use]
pub fn patterns(text: &str) -> Vec<String> {
    let mut inside = false;
    let split = text.split(|it| {
        match it {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        it == ',' && !inside
    });
    split.map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_empty_parts_are_no_names() {
        assert_eq!(names(" kube-system, ,tetragon,"), ["kube-system", "tetragon"]);
        assert!(names("").is_empty());
        assert!(names(" , ").is_empty());
    }

    #[test]
    fn repetitions_stay_whole() {
        assert_eq!(patterns("^a{1,3}$,b,c{2}"), ["^a{1,3}$", "b", "c{2}"]);
        assert_eq!(patterns("a{1,"), ["a{1,"]);
    }
}
