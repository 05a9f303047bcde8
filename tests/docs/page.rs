//! A page of the documentation, and what can be asked of one.

use std::path::{Path, PathBuf};

/// The folder that everything stands in.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page in Markdown.
pub(crate) struct Page {
    /// Its path from the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A table of a page, its cells without the space around them.
pub(crate) struct Table {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A block of code, and what stands behind the marks that open it.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(path: &str) -> Self {
        let text =
            std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// Every page of the project.
    pub(crate) fn all() -> Vec<Self> {
        let mut pages = Vec::new();
        let mut open = vec![root().to_owned(), root().join("docs"), root().join("fuzz")];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() && path.starts_with(root().join("docs")) {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    let below = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                    pages.push(Self::read(&below));
                }
            }
        }
        assert!(pages.len() > 10, "the pages were read");
        pages
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> {
        let mut tables: Vec<Table> = Vec::new();
        let mut inside = false;
        for line in self.text.lines() {
            let Some(row) = line.strip_prefix('|') else {
                inside = false;
                continue;
            };
            let row = row.trim_end().strip_suffix('|').unwrap_or(row);
            let cells: Vec<String> = row
                .replace("\\|", "\u{0}")
                .split('|')
                .map(|cell| cell.trim().replace('\u{0}', "|"))
                .collect();
            if !inside {
                tables.push(Table { header: cells, rows: Vec::new() });
                inside = true;
            } else if let Some(table) = tables.last_mut()
                && !cells.iter().all(|cell| cell.chars().all(|letter| letter == '-'))
            {
                table.rows.push(cells);
            }
        }
        tables.into_iter()
    }

    /// The blocks between marks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    open = Some(Block { language: language.to_owned(), text: String::new() });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        blocks
    }

    /// The titles of its sections, as links name them: lower case, hyphens for spaces, no punctuation.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut code = false;
        let mut anchors = Vec::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                code = !code;
            }
            let title = line.trim_start_matches('#');
            if !code && title.len() < line.len() && title.starts_with(' ') {
                anchors.push(anchor(title.trim()));
            }
        }
        anchors
    }
}

fn anchor(title: &str) -> String {
    title
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            other if other.is_alphanumeric() => Some(other.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
