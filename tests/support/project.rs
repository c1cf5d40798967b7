//! The profiles of this repository, copied, and worked on side by side.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

/// Returns the names of all profiles of the repository, such as `production` and `ultravox/production`, sorted.
pub fn profiles() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut names: Vec<String> = files_below(&folder)
        .iter()
        .filter_map(|path| path.strip_prefix(&folder).ok()?.to_str()?.strip_suffix(".ncl").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 9, "there are only these profiles: {names:?}");
    names
}

/// Copies profiles and hosts of the repository; `edit` may change a host before it is written.
pub fn copy(to: &Path, edit: impl Fn(&mut Value)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["profiles", "hosts"].iter().flat_map(|folder| files_below(&root.join(folder))) {
        let target = to.join(file.strip_prefix(root).expect("a file of the repository"));
        fs::create_dir_all(target.parent().expect("a file has a folder")).expect("a folder of the copy is made");
        if target.extension().is_some_and(|extension| extension == "json") {
            let mut host = read_json(&file);
            edit(&mut host);
            fs::write(&target, host.to_string()).expect("a host is written");
        } else {
            fs::copy(&file, &target).expect("a profile is copied");
        }
    }
}

/// Returns all files below a folder, however deep.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry is read").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Calls `work` for every item, on all processors, and returns the results in the order of the items.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(Vec::with_capacity(count));
    let take = || queue.lock().expect("no worker fails with the queue").next();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((place, item)) = take() {
                    let result = work(item);
                    results.lock().expect("no worker fails with the results").push((place, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("all workers are done");
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}
