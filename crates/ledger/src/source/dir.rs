//! A folder as the source of a log's files.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{FILE_BYTES_MAX, Source};

/// The deepest folder that is listed; the files of a log are at most eight deep.
pub const DEPTH_MAX: usize = 16;

/// The most files that are listed; a log of a thousand million entries has eight million.
pub const FILES_MAX: usize = 16_000_000;

/// The files below a folder. Symbolic links and devices are not followed: they count as no file, and are
/// listed.
#[derive(Debug, Clone)]
pub struct DirSource {
    root: PathBuf,
}

impl DirSource {
    /// The files below this folder.
    ///
    /// # Errors
    /// If it is not there, or no folder.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        if fs::metadata(&root)?.is_dir() {
            Ok(Self { root })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    fn open_file(&self, path: &str) -> io::Result<Option<File>> {
        let stays_below =
            path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\\'));
        if !stays_below {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let path = self.root.join(path);
        // Opening a pipe would wait for ever, so the kind is looked at first.
        let regular = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.is_file(),
            Err(error) => is_absent(&error).then_some(false).ok_or(error)?,
        };
        if regular { File::open(path).map(Some) } else { Ok(None) }
    }

    fn list_into(&self, found: &mut Vec<String>) -> io::Result<()> {
        let mut waiting = vec![(self.root.clone(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = waiting.pop() {
            for item in fs::read_dir(folder)? {
                let item = item?;
                let path = format!("{prefix}{}", item.file_name().to_string_lossy());
                if item.file_type()?.is_dir() && depth < DEPTH_MAX {
                    waiting.push((item.path(), format!("{path}/"), depth + 1));
                } else {
                    found.push(path);
                }
                if found.len() > FILES_MAX {
                    return Err(io::Error::other(format!("more than {FILES_MAX} files")));
                }
            }
        }
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Source for DirSource {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn open(&self, path: &str) -> io::Result<Option<Box<dyn BufRead + '_>>> {
        Ok(self.open_file(path)?.map(|file| Box::new(BufReader::new(file)) as Box<dyn BufRead>))
    }

    fn list(&self) -> io::Result<Option<Vec<String>>> {
        let mut found = Vec::new();
        self.list_into(&mut found)?;
        found.sort_unstable();
        Ok(Some(found))
    }
}

/// A file where a folder is due, and a name too long for the file system, mean that there is no such file.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_lists_regular_files_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tile/0")).unwrap();
        fs::write(folder.path().join("tile/0/000"), b"hashes").unwrap();
        fs::write(folder.path().join("checkpoint"), b"note").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("checkpoint", folder.path().join("vkey")).unwrap();
        let source = DirSource::open(folder.path()).unwrap();
        assert_eq!(source.read("tile/0/000").unwrap(), Some(b"hashes".to_vec()));
        assert_eq!(source.read("tile/0").unwrap(), None, "a folder");
        assert_eq!(source.read("tile/0/000/000").unwrap(), None, "a file is no folder");
        assert_eq!(source.read("nothing").unwrap(), None);
        assert_eq!(source.read("vkey").unwrap(), None, "a link");
        assert!(source.open("vkey").unwrap().is_none());
        assert_eq!(source.list().unwrap().unwrap(), ["checkpoint", "tile/0/000", "vkey"]);
        let mut line = String::new();
        source.open("checkpoint").unwrap().unwrap().read_line(&mut line).unwrap();
        assert_eq!(line, "note");
    }

    #[test]
    fn stays_below_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let source = DirSource::open(folder.path()).unwrap();
        for path in ["", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/.", "a\\..\\b"] {
            assert_eq!(source.read(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
        assert!(DirSource::open(folder.path().join("none")).is_err());
    }

    #[test]
    fn a_huge_file_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("big")).unwrap().set_len(FILE_BYTES_MAX as u64 * 4).unwrap();
        let source = DirSource::open(folder.path()).unwrap();
        assert_eq!(source.read("big").unwrap().unwrap().len(), FILE_BYTES_MAX + 1);
    }
}
