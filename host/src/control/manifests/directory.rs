//! The files of the directory.

use super::declared::{ManifestFile, parse};
use super::problems::FileProblems;
use super::progress::{FileState, Files, Verdict};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes; more is a problem of the file.
const FILE_MAX: u64 = 32 << 20;

/// Distinguishes versions of the directory. Cheap to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Tells a directory from one that was made in its place.
    pub(super) directory: u64,
    pub(super) files: Files,
}

/// Reads what tells that something has changed.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn fingerprint(directory: &Path) -> io::Result<Fingerprint> {
    let entries = manifest_paths(directory)?.into_iter().map(|(name, path)| {
        let metadata = fs::metadata(path).ok();
        let (size, inode) = metadata.as_ref().map_or((0, 0), |m| (m.len(), m.ino()));
        (name, FileState { modified: metadata.and_then(|m| m.modified().ok()), size, inode })
    });
    Ok(Fingerprint { directory: fs::metadata(directory)?.ino(), files: entries.collect() })
}

/// Reads the files as they were `seen`, sorted by name. Files in progress are not opened, and a file that changes
/// while it is read is added to them.
///
/// # Errors
/// When the directory cannot be read. A file that cannot be read is a problem of that file.
pub(super) fn read(directory: &Path, seen: &Files, verdict: &mut Verdict) -> io::Result<Vec<ManifestFile>> {
    let mut files = Vec::new();
    for (name, state) in seen {
        let mut file = match verdict.in_progress.contains(name) {
            true => ManifestFile { name: name.clone(), ..ManifestFile::default() },
            false => read_file(name, &directory.join(name)),
        };
        file.may_lack_objects = verdict.in_progress.contains(name) || verdict.young.contains(name);
        files.push((state, file));
    }
    let after = fingerprint(directory)?.files;
    let unchanged = |(state, mut file): (&FileState, ManifestFile)| {
        if after.get(&file.name).is_some_and(|now| now != state) {
            verdict.in_progress.insert(file.name.clone());
            file = ManifestFile { name: file.name, may_lack_objects: true, ..ManifestFile::default() };
        }
        file
    };
    Ok(files.into_iter().map(unchanged).collect())
}

fn read_file(name: &str, path: &Path) -> ManifestFile {
    let problem = |cause: String| {
        let mut problems = FileProblems::default();
        problems.add(format!("{name}: {cause}"));
        ManifestFile { name: name.to_owned(), problems, ..ManifestFile::default() }
    };
    match read_bytes(path).map(String::from_utf8) {
        Ok(Ok(text)) => parse(name, &text),
        Ok(Err(error)) => problem(format!("is not UTF-8 text: {error}")),
        Err(error) => problem(format!("cannot be read: {error}")),
    }
}

/// The content of a regular file. Opening a pipe may wait for ever and a device may never end: both are refused
/// before they are opened, and what was opened is looked at again, because it may be another file by then.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let check = |metadata: fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is no regular file: put a file, or a link to one, in its place")),
    };
    check(fs::metadata(path)?)?;
    let file = fs::File::open(path)?;
    check(file.metadata()?)?;
    let mut content = Vec::new();
    if file.take(FILE_MAX + 1).read_to_end(&mut content)? as u64 > FILE_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_MAX} bytes: split it")));
    }
    Ok(content)
}

/// Names and paths of the files that count, sorted by name. Links are followed, so that directories whose files are
/// links into a hidden `..data` work.
fn manifest_paths(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = entry.path();
        // A broken link counts as a file that cannot be read.
        if counts(&name) && !path.is_dir() {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file of that name counts. What editors leave behind (`.a.yaml.swp`, `a.yaml~`, `#a.yaml#`,
/// `a.yaml.bak`) does not.
pub(super) fn counts(name: &str) -> bool {
    let has_ending = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
    has_ending && !name.starts_with(['.', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(directory: &Path) -> Vec<ManifestFile> {
        let seen = fingerprint(directory).unwrap().files;
        read(directory, &seen, &mut Verdict::default()).unwrap()
    }

    #[test]
    fn a_file_in_progress_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.yaml", "c.yaml", "d.yaml"] {
            fs::write(directory.path().join(name), "kind: Pod").unwrap();
        }
        let mut seen = fingerprint(directory.path()).unwrap().files;
        // It changed between the scan and the read.
        seen.get_mut("c.yaml").unwrap().size = 1;
        let mut verdict =
            Verdict { in_progress: ["a.yaml".to_owned()].into(), young: ["d.yaml".to_owned()].into() };
        let files = read(directory.path(), &seen, &mut verdict).unwrap();
        let shown: Vec<_> =
            files.iter().map(|f| (f.name.as_str(), f.problems.is_empty(), f.may_lack_objects)).collect();
        let wanted = [("a.yaml", true, true), ("b.yaml", false, false), ("c.yaml", true, true)];
        assert_eq!(shown[..3], wanted);
        assert_eq!(shown[3], ("d.yaml", false, true), "it is read, and may still grow");
        assert_eq!(verdict.in_progress, ["a.yaml".to_owned(), "c.yaml".to_owned()].into());
    }

    #[test]
    fn hidden_files_and_those_of_editors_do_not_count() {
        for name in ["a.yaml", "b.yml", "c.json"] {
            assert!(counts(name), "{name}");
        }
        for name in
            [".a.yaml", "..data", "a.yaml~", "#a.yaml#", "#a.yaml", ".#a.yaml", "a.yaml.bak", "a.txt", "yaml"]
        {
            assert!(!counts(name), "{name}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_of_that_file() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("b.yaml"), b"\xff\xfe").unwrap();
        fs::write(directory.path().join("c.yaml"), "").unwrap();
        fs::create_dir(directory.path().join("d.yaml")).unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("a.yaml")).unwrap();
        let files = read_all(directory.path());
        let shown: Vec<_> = files.iter().map(|f| (f.name.as_str(), f.problems.shown().len())).collect();
        assert_eq!(shown, [("a.yaml", 1), ("b.yaml", 1), ("c.yaml", 0)]);
        assert!(
            files[1].problems.shown()[0].starts_with("b.yaml: is not UTF-8 text"),
            "{}",
            files[1].problems.shown()[0]
        );
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("a.yaml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", directory.path().join("b.yaml")).unwrap();
        let large = fs::File::create(directory.path().join("c.yaml")).unwrap();
        large.set_len(FILE_MAX + 1).unwrap();
        let problems: Vec<String> =
            read_all(directory.path()).iter().flat_map(|file| file.problems.shown().to_vec()).collect();
        let expected = ["it is no regular file", "it is no regular file", "it is larger than 33554432 bytes"];
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
