//! The places of a new crate that are the carrier's own, each with its question.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MARK: &str = "FILL IN: ";

/// A question in a file.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) text: String,
}

/// Every question below a folder, in the order of files and lines.
pub(super) fn questions(folder: &Path) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            match fs::read_to_string(&path) {
                Ok(text) => questions.extend(in_text(path.strip_prefix(folder).unwrap_or(&path), &text)),
                Err(_) if path.is_dir() && !path.ends_with("target") => folders.push(path),
                Err(_) => {}
            }
        }
    }
    questions.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    questions
}

/// A question goes on over the comment lines that follow it, up to an empty one.
pub(super) fn in_text(path: &Path, text: &str) -> Vec<Question> {
    let lines: Vec<&str> = text.lines().collect();
    let mut questions = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((leader, begun)) = line.split_once(MARK) else { continue };
        let mut text = begun.to_owned();
        for more in lines.iter().skip(number + 1) {
            match more.strip_prefix(leader).filter(|rest| !rest.trim().is_empty()) {
                Some(rest) if !leader.trim().is_empty() && !more.contains(MARK) => {
                    text.push(' ');
                    text.push_str(rest.trim());
                }
                _ => break,
            }
        }
        questions.push(Question { path: path.to_owned(), line: number + 1, text });
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_to_its_end() {
        let text = "//! What it is.\n//!\n//! FILL IN: what, and\n//! why?\n//!\n//! Source: x\n    // FILL IN: when?\n    fn f() {}\n";
        let found = in_text(Path::new("a.rs"), text);
        let found: Vec<_> = found.iter().map(|question| (question.line, question.text.as_str())).collect();
        assert_eq!(found, [(3, "what, and why?"), (7, "when?")]);
    }
}
