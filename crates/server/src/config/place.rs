//! Where in the file something is.

use std::path::Path;

pub struct Places<'a> {
    file: String,
    text: &'a str,
}

impl<'a> Places<'a> {
    pub fn new(file: &Path, text: &'a str) -> Self {
        Self { file: file.display().to_string(), text }
    }

    /// `FILE:LINE:COL: message`, both from 1, columns in characters.
    pub fn line(&self, offset: usize, message: &str) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}:{line}:{column}: {message}", self.file)
    }
}

/// The parser's message on one line; what it says was expected stays at its end.
pub fn expected(message: &str) -> String {
    let message = message.trim().lines().collect::<Vec<_>>().join(", ").replace('`', "");
    let message = message.replace("; write it like", ", expected something like");
    if message.contains("expected") { message } else { format!("{message}, expected TOML") }
}
