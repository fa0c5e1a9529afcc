//! The folder that a crate of its own goes to: new, or empty, and outside this workspace.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use crate::step::root;

/// What a folder may hold and still be empty: a repository that has just been made.
const REPOSITORY: &str = ".git";

/// Where a run that was killed may have left what it was writing.
pub(super) const UNFINISHED: &str = ".unfinished";

/// The folder as an absolute path, if a crate can go there.
pub(super) fn usable(given: &str) -> Result<PathBuf, String> {
    let folder = resolved(&with_home(given)?)?;
    if folder.starts_with(root().canonicalize().unwrap_or_else(|_| root().to_owned())) {
        return Err(format!(
            "{} is inside this workspace; a crate of its own goes elsewhere, and --in-workspace makes it a member",
            folder.display()
        ));
    }
    if folder.parent().is_none() {
        return Err("the root of the file system is no place for a crate".to_owned());
    }
    match fs::metadata(&folder) {
        Ok(found) if !found.is_dir() => Err(format!("{} is there already, and is no folder", folder.display())),
        Ok(_) if !is_empty(&folder)? => Err(format!("{} is there already, and is not empty", folder.display())),
        _ => Ok(folder),
    }
}

/// Whether there is nothing in a folder that a crate could meet.
pub(super) fn is_empty(folder: &Path) -> Result<bool, String> {
    let names = entries(folder)?;
    Ok(names.iter().all(|path| path.ends_with(REPOSITORY) || path.ends_with(UNFINISHED)))
}

/// What is in a folder, but for its repository.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error| format!("{} could not be read: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if !path.ends_with(REPOSITORY) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// `~` is the home folder, as a shell has it; what is typed at a question has passed no shell.
fn with_home(given: &str) -> Result<PathBuf, String> {
    let below = match given.strip_prefix('~') {
        Some("") => "",
        Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => return Ok(given.into()),
    };
    std::env::home_dir().map(|home| home.join(below)).ok_or_else(|| "there is no home folder for ~".to_owned())
}

/// An absolute path without `..` and links, as far as it is there. A relative one is meant as the user's shell sees it.
fn resolved(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (above, mut resolved) = there.unwrap_or((Path::new(""), PathBuf::new()));
    for part in path.strip_prefix(above).unwrap_or(&path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder for one test, outside this workspace.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("xtask-folder-{name}-{}", std::process::id()));
            fs::create_dir(&folder).unwrap();
            Self(folder.canonicalize().unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // A test that failed has told why already.
            let _removed = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_folder_that_is_new_or_empty_is_usable() {
        let scratch = Scratch::new("usable");
        let usable_as = |path: PathBuf| usable(path.to_str().unwrap()).unwrap();
        assert_eq!(usable_as(scratch.0.join("a/../b c/../new one")), scratch.0.join("new one"));
        assert_eq!(usable_as(scratch.0.clone()), scratch.0);
        // A repository that has just been made, and what a killed run has left.
        for name in [REPOSITORY, UNFINISHED] {
            fs::create_dir(scratch.0.join(name)).unwrap();
        }
        assert_eq!(usable_as(scratch.0.clone()), scratch.0);
        assert_eq!(
            usable("~/a new crate").unwrap(),
            resolved(&std::env::home_dir().unwrap()).unwrap().join("a new crate")
        );
    }

    #[test]
    fn a_folder_that_would_meet_something_is_refused() {
        let scratch = Scratch::new("refused");
        fs::write(scratch.0.join("file"), "").unwrap();
        let refusal = |path: &Path| usable(path.to_str().unwrap()).unwrap_err();
        assert!(refusal(&scratch.0).contains("not empty"));
        assert!(refusal(&scratch.0.join("file")).contains("no folder"));
        assert!(refusal(&root().join("target/telephony-x")).contains("inside this workspace"));
        assert!(refusal(Path::new("/")).contains("root"));
    }
}
