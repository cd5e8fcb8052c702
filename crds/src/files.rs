//! Policies in files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::load::load;
use crate::origin::Origin;
use crate::policy::{Policy, PolicyName};
use crate::report::{Diagnostic, Errors, Path as Field};

/// Loads the policy in a file.
///
/// # Errors
///
/// Everything that is wrong with it, or that the file cannot be read.
pub fn load_file(path: &Path) -> Result<Policy, Errors> {
    let origin = Origin::File(path.to_owned());
    let refuse = |problem: String| Errors {
        origin: origin.clone(),
        errors: vec![Diagnostic::new(Field::root(), problem)],
        warnings: Vec::new(),
    };
    let bytes = fs::read(path).map_err(|error| refuse(format!("cannot read the file: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        refuse(format!("not a text in UTF-8: byte {valid}"))
    })?;
    load(&text, &origin)
}

/// The files of a policy directory: regular files, and links to such, in it and in its direct subdirectories, in
/// lexical order. Linked subdirectories are not entered, nor those whose names begin with `..`: Kubernetes keeps the
/// files of mounted volumes in such, and links to them.
///
/// # Errors
///
/// If the directory, a subdirectory, or what a link points to cannot be read.
pub fn policy_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in sorted(directory)? {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if entry.file_name().as_encoded_bytes().starts_with(b"..") {
                continue;
            }
            for entry in sorted(&entry.path())? {
                add_file(&entry, &mut files)?;
            }
        } else {
            add_file(&entry, &mut files)?;
        }
    }
    Ok(files)
}

fn sorted(directory: &Path) -> io::Result<Vec<DirEntry>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    let mut entries: Vec<DirEntry> =
        fs::read_dir(directory).map_err(named)?.collect::<Result<_, _>>().map_err(named)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn add_file(entry: &DirEntry, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let path = entry.path();
    let kind = entry.file_type()?;
    let is_file = if kind.is_symlink() {
        let target = fs::metadata(&path);
        target
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?
            .is_file()
    } else {
        kind.is_file()
    };
    if is_file {
        files.push(path);
    }
    Ok(())
}

/// Loads each file of a directory, see [`policy_files`]. Of several policies of one name the first is loaded.
///
/// # Errors
///
/// If the directory cannot be read; what is wrong with a policy is in the list.
pub fn load_each(directory: &Path) -> io::Result<Vec<Result<Policy, Errors>>> {
    let mut names: BTreeMap<PolicyName, PathBuf> = BTreeMap::new();
    let load = |file: PathBuf| {
        let policy = load_file(&file)?;
        if let Some(first) = names.get(&policy.name) {
            let path = Field::root().field("metadata").field("name");
            let problem = format!("{} has a policy of this name already", first.display());
            let duplicate = Diagnostic::new(path, problem).value(&policy.name).remedy("rename one of them");
            return Err(Errors { origin: policy.origin, errors: vec![duplicate], warnings: policy.warnings });
        }
        names.insert(policy.name.clone(), file);
        Ok(policy)
    };
    Ok(policy_files(directory)?.into_iter().map(load).collect())
}

/// Loads all policies of a directory, see [`policy_files`].
///
/// # Errors
///
/// Everything that is wrong with any of them, two of the same name among it.
pub fn load_directory(directory: &Path) -> Result<Vec<Policy>, DirectoryErrors> {
    let (mut policies, mut refused) = (Vec::new(), Vec::new());
    for outcome in load_each(directory).map_err(DirectoryErrors::Unreadable)? {
        match outcome {
            Ok(policy) => policies.push(policy),
            Err(errors) => refused.push(errors),
        }
    }
    if refused.is_empty() { Ok(policies) } else { Err(DirectoryErrors::Refused(refused)) }
}

/// Why a directory of policies was refused.
#[derive(Debug)]
pub enum DirectoryErrors {
    /// It cannot be read. [`io::ErrorKind::NotFound`]: it, or what a link in it points to, is not there.
    Unreadable(io::Error),
    /// Policies in it are wrong; at least one.
    Refused(Vec<Errors>),
}

impl fmt::Display for DirectoryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot read the policy directory: {error}"),
            Self::Refused(refused) => {
                for (index, errors) in refused.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}{errors}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DirectoryErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Refused(_) => None,
        }
    }
}
