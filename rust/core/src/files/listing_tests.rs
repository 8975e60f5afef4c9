use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::PathBuf,
};

use proptest::prelude::*;

use super::*;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for file in files {
            let path = tree.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn list(&self, paths: &[&str]) -> Result<Listing> {
        list(&paths.iter().map(|p| self.at(p)).collect::<Vec<_>>())
    }

    /// Root (relative to the tree) and names.
    fn names(&self, paths: &[&str]) -> (String, Vec<String>) {
        let found = self.list(paths).unwrap();
        (paths::relative(self.0.path().to_str().unwrap(), &found.root).to_owned(), found.names)
    }
}

#[test]
fn a_directory_is_in_byte_order_of_names() {
    let tree = Tree::new(&["d/a/b.parquet", "d/a.parquet", "d/a-b/x.parquet", "d/B.PQ", "d/é.parq", "d/z.parquet"]);
    let names = ["B.PQ", "a-b/x.parquet", "a.parquet", "a/b.parquet", "z.parquet", "é.parq"];
    assert_eq!(tree.names(&["d"]), ("d".to_owned(), names.map(str::to_owned).to_vec()));
    assert_eq!(tree.names(&["d/"]).1, names);
    assert_eq!(tree.names(&["d/a/../a"]).1, ["b.parquet"]);
}

#[test]
fn hidden_names_and_other_files_are_left_out() {
    let tree = Tree::new(&[
        "d/x.parquet",
        "d/_metadata.parquet",
        "d/.x.parquet",
        "d/_tmp/y.parquet",
        "d/.git/y.parquet",
        "d/README.md",
    ]);
    assert_eq!(tree.names(&["d"]).1, ["x.parquet"]);
    assert_eq!(tree.names(&["d/*.parquet"]).1, ["x.parquet"]);
    assert_eq!(tree.names(&["d/**/*.parquet"]).1, ["x.parquet"]);
    assert_eq!(tree.names(&["d/_tmp"]), ("d/_tmp".to_owned(), vec!["y.parquet".to_owned()]));
    assert_eq!(tree.names(&["d/_metadata.parquet"]).1, ["_metadata.parquet"]);
}

#[test]
fn globs() {
    let tree = Tree::new(&["d/y=1/a.bin", "d/y=1/b.parquet", "d/y=2/a.bin", "d/y=2/deep/a.bin", "d/{a}.x", "d/a.x"]);
    assert_eq!(tree.names(&["d/y=*/a.bin"]), ("d".to_owned(), vec!["y=1/a.bin".to_owned(), "y=2/a.bin".to_owned()]));
    assert_eq!(
        tree.names(&["d/y=2/**/*.bin"]),
        ("d/y=2".to_owned(), vec!["a.bin".to_owned(), "deep/a.bin".to_owned()])
    );
    assert_eq!(tree.names(&["d/y=[!2]/?.*"]).1, ["y=1/a.bin", "y=1/b.parquet"]);
    assert_eq!(tree.names(&["d/{a}.?"]).1, ["{a}.x"]);
    assert!(tree.list(&["d/y=*"]).unwrap_err().to_string().contains("2 director"));
    assert!(matches!(tree.list(&["d/q*"]), Err(Error::NoFiles { .. })));
    assert!(matches!(tree.list(&["none/q*"]), Err(Error::NotFound { .. })));
    assert!(matches!(tree.list(&["d/[a"]), Err(Error::Argument(_))));
}

#[test]
fn what_exists_is_taken_literally() {
    let tree = Tree::new(&["a[1]/x.parquet", "a1/x.parquet", "w*.pq", "wx.pq", "p %41 #é.parquet"]);
    assert_eq!(tree.names(&["a[1]"]).0, "a[1]");
    assert_eq!(tree.names(&["w*.pq"]).1, ["w*.pq"]);
    assert_eq!(tree.names(&["w?.pq"]).1, ["w*.pq", "wx.pq"]);
    assert_eq!(tree.names(&["p %41 #é.parquet"]).1, ["p %41 #é.parquet"]);
    let address = format!("file://{}", tree.at("p%20%2541%20%23%C3%A9.parquet"));
    assert_eq!(list(&[address]).unwrap().names, ["p %41 #é.parquet"]);
}

#[test]
fn lists_have_one_root_and_are_sorted() {
    let tree = Tree::new(&["d/a/x.parquet", "d/b/x.parquet", "d/ab.parquet"]);
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(tree.names(&["d/b", "d/a"]), ("d".to_owned(), names(&["a/x.parquet", "b/x.parquet"])));
    assert_eq!(tree.names(&["d/b/x.parquet", "d/ab.parquet"]).1, ["ab.parquet", "b/x.parquet"]);
    assert_eq!(tree.names(&["d/a/x.parquet"]), ("d/a".to_owned(), names(&["x.parquet"])));
    let twice = tree.list(&["d", "d/a"]).unwrap_err();
    assert!(matches!(&twice, Error::Argument(m) if m.contains("d/a/x.parquet")), "{twice}");
    assert!(matches!(tree.list(&["d/a", "d/./a"]), Err(Error::Argument(_))));
    assert!(matches!(list(&[]), Err(Error::Argument(_))));
}

#[test]
fn nothing_there() {
    let tree = Tree::new(&["d/x.csv", "e/_x.parquet"]);
    assert!(matches!(tree.list(&["nope"]), Err(Error::NotFound { path }) if path.ends_with("nope")));
    assert!(matches!(tree.list(&["d/x.csv/y"]), Err(Error::Io { .. })));
    let message = tree.list(&["d"]).unwrap_err().to_string();
    assert!(message.contains("of 1 file(s)") && message.contains(".parquet"), "{message}");
    assert!(tree.list(&["e"]).unwrap_err().to_string().contains("no files"));
    assert!(matches!(tree.list(&["d/x.csv", "e"]), Err(Error::NoFiles { .. })));
    assert!(list(&["/dev/null".to_owned()]).unwrap_err().to_string().contains("regular file"));
    assert!(matches!(list(&["a\0b".to_owned()]), Err(Error::Io { .. })));
}

#[test]
fn links_are_followed_and_loops_are_errors() {
    let tree = Tree::new(&["far/x.parquet", "d/y.parquet"]);
    symlink(tree.path("far"), tree.path("d/link")).unwrap();
    symlink(tree.path("far/x.parquet"), tree.path("d/a.parquet")).unwrap();
    symlink("nowhere", tree.path("d/readme")).unwrap();
    assert_eq!(tree.names(&["d"]).1, ["a.parquet", "link/x.parquet", "y.parquet"]);
    assert_eq!(tree.names(&["d/link"]), ("d/link".to_owned(), vec!["x.parquet".to_owned()]));
    symlink("nowhere", tree.path("d/gone.parquet")).unwrap();
    assert!(matches!(tree.list(&["d"]), Err(Error::NotFound { path }) if path.contains("gone.parquet")));
    fs::remove_file(tree.path("d/gone.parquet")).unwrap();
    symlink(tree.path("d"), tree.path("d/_loop")).unwrap();
    assert_eq!(tree.names(&["d"]).1.len(), 3);
    symlink(tree.path("d"), tree.path("d/loop")).unwrap();
    assert!(tree.list(&["d"]).unwrap_err().to_string().contains("a loop"));
}

#[test]
fn names_that_are_not_text_are_errors() {
    let tree = Tree::new(&["d/x.parquet"]);
    fs::write(tree.path("d").join(OsStr::from_bytes(b"\xff.csv")), b"").unwrap();
    assert_eq!(tree.names(&["d"]).1, ["x.parquet"]);
    fs::write(tree.path("d").join(OsStr::from_bytes(b"\xff.parquet")), b"").unwrap();
    let error = tree.list(&["d"]).unwrap_err().to_string();
    assert!(error.contains("UTF-8") && error.contains(".parquet"), "{error}");
}

proptest! {
    #![proptest_config(crate::proptest_config::cases(32))]

    #[test]
    fn a_directory_a_glob_and_a_list_agree(files in prop::collection::btree_set("[a-c./\\-é ]{0,4}[a-c]", 1..8)) {
        let tree = Tree(tempfile::tempdir().unwrap());
        let mut files = files;
        files.insert("a".to_owned()); // one at least is a name that is listed
        let mut made = Vec::new();
        for file in &files {
            let name = format!("{file}.parquet");
            if name.split('/').any(|p| p.is_empty() || p.starts_with('.')) {
                continue;
            }
            let path = tree.path(&format!("d/{name}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
            made.push(name);
        }
        made.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        prop_assert_eq!(&tree.names(&["d"]).1, &made);
        prop_assert_eq!(&tree.names(&["d/**/*.parquet"]), &("d".to_owned(), made.clone()));
        let backwards: Vec<String> = made.iter().rev().map(|n| tree.at(&format!("d/{n}"))).collect();
        let listed = list(&backwards).unwrap();
        let full = |l: &Listing| l.names.iter().map(|n| paths::join(&l.root, n)).collect::<Vec<_>>();
        prop_assert_eq!(full(&listed), full(&tree.list(&["d"]).unwrap()));
    }
}
