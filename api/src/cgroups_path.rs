//! The `linux.cgroupsPath` of an OCI runtime specification, as the directory that the runtime makes of it.
//!
//! It is either a path already, or, where systemd manages cgroups, `slice:prefix:name`. Hooks, agent and client all
//! meet both forms.

use thiserror::Error;

/// Why a `cgroupsPath` names no directory.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CgroupsPathError {
    /// Nothing there: the runtime chooses the cgroup by itself.
    #[error("cgroupsPath is empty")]
    Empty,
    /// Neither a path nor three parts.
    #[error("cgroupsPath {path:?} is neither a path (with '/') nor of the form slice:prefix:name")]
    Form {
        /// The whole value.
        path: String,
    },
    /// The first of the three parts is not the name of a systemd slice.
    #[error("cgroupsPath {path:?}: {slice:?} is no name of a slice, such as 'kubepods-burstable.slice'")]
    Slice {
        /// The whole value.
        path: String,
        /// The part in question.
        slice: String,
    },
}

/// The directory of `path` below the root of the cgroup hierarchy.
///
/// A value that contains `/` is returned as it is. Of the systemd form the result begins with `/`: a slice
/// `a-b.slice` lies in `/a.slice`, and the last part is a scope of its own unless it is a slice already.
///
/// ```
/// let path = "kubepods-burstable-pod1.slice:cri-containerd:0123";
/// let directory = tetragon_api::cgroups_path::directory(path)?;
/// assert_eq!(
///     directory,
///     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-0123.scope"
/// );
/// # Ok::<(), tetragon_api::cgroups_path::CgroupsPathError>(())
/// ```
///
/// # Errors
/// [`CgroupsPathError`] where the value has neither form.
pub fn directory(path: &str) -> Result<String, CgroupsPathError> {
    if path.is_empty() {
        return Err(CgroupsPathError::Empty);
    }
    if path.contains('/') {
        return Ok(path.to_owned());
    }
    let form = || CgroupsPathError::Form { path: path.to_owned() };
    let mut parts = path.split(':');
    let (Some(slice), Some(prefix), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form());
    };
    if name.is_empty() {
        return Err(form());
    }
    let mut directory = slice_directory(slice)
        .ok_or_else(|| CgroupsPathError::Slice { path: path.to_owned(), slice: slice.to_owned() })?;
    directory.push('/');
    directory.push_str(&unit(prefix, name));
    Ok(directory)
}

/// The unit that systemd is asked to make.
fn unit(prefix: &str, name: &str) -> String {
    if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") }
}

/// Where systemd puts a slice: below the slices that its name is made of. Empty for the root slice.
fn slice_directory(slice: &str) -> Option<String> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(String::new());
    }
    let mut directory = String::new();
    let mut end = 0;
    for component in name.split('-') {
        if component.is_empty() {
            return None;
        }
        end += component.len();
        directory.push('/');
        directory.push_str(name.get(..end)?);
        directory.push_str(".slice");
        end += "-".len();
    }
    Some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_directory_already() {
        for path in ["/kubepods/burstable/pod1/0123", "kubepods/0123", "/", "/a:b:c", "/a.slice:b:c"] {
            assert_eq!(directory(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn slices_lie_in_the_slices_of_their_name() {
        for (path, expected) in [
            ("system.slice:docker:0123", "/system.slice/docker-0123.scope"),
            ("machine.slice:libpod:0123", "/machine.slice/libpod-0123.scope"),
            ("a-b-c.slice:crio:0123", "/a.slice/a-b.slice/a-b-c.slice/crio-0123.scope"),
            (
                "kubepods-pod0_1.slice:cri-containerd:0123",
                "/kubepods.slice/kubepods-pod0_1.slice/cri-containerd-0123.scope",
            ),
            ("a.slice:prefix:a-own.slice", "/a.slice/a-own.slice"),
            ("-.slice:crio:0123", "/crio-0123.scope"),
            ("a.slice::0123", "/a.slice/-0123.scope"),
        ] {
            assert_eq!(directory(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn other_forms_are_errors_that_show_the_value() {
        assert_eq!(directory(""), Err(CgroupsPathError::Empty));
        for path in ["0123", "a.slice:b", "a.slice:b:c:d", "a.slice:b:", "::"] {
            assert_eq!(directory(path), Err(CgroupsPathError::Form { path: path.to_owned() }), "{path}");
        }
        for slice in ["", "a", ".slice", "a.scope", "a--b.slice", "-a.slice", "a-.slice", "--.slice"] {
            let path = format!("{slice}:crio:0123");
            let expected = CgroupsPathError::Slice { path: path.clone(), slice: slice.to_owned() };
            assert_eq!(directory(&path), Err(expected), "{path}");
        }
    }
}
