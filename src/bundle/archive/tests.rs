use proptest::prelude::*;

use super::*;
use crate::bundle::testing::{bundle, bundle_of};

fn packed(bundle: &Bundle) -> Vec<u8> {
    let mut bytes = Vec::new();
    bundle.pack(&mut bytes).unwrap();
    bytes
}

/// Packs entries as they are given, also what no honest program would.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzBuilder::new().write(Vec::new(), Compression::fast()));
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Returns the entries of a whole bundle.
fn whole(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let manifest = (FILE_NAME.to_owned(), bundle.manifest_text());
    [manifest].into_iter().chain(bundle.files.clone()).collect()
}

fn with(bundle: &Bundle, more: &[(&str, EntryType, &[u8])]) -> Result<Bundle, ArchiveError> {
    let whole = whole(bundle);
    let mut entries: Vec<_> = whole.iter().map(|(path, content)| (&**path, EntryType::Regular, &**content)).collect();
    entries.extend(more);
    Bundle::unpack(&*archive(&entries))
}

#[test]
fn a_bundle_comes_back_and_has_one_form() {
    let one = bundle("one");
    assert_eq!(Bundle::unpack(&*packed(&one)).unwrap(), one);
    assert_eq!(packed(&one), packed(&Bundle::unpack(&*packed(&one)).unwrap()));
    assert_eq!(with(&one, &[]).unwrap(), one);
    assert_eq!(with(&one, &[("./", EntryType::Directory, b""), ("units/", EntryType::Directory, b"")]).unwrap(), one);
}

#[test]
fn long_paths_are_kept() {
    let path = format!("files/etc/{}/x", "a/".repeat(100) + &"b".repeat(150));
    let long = bundle_of(&[(&path, "raw", Some("/etc/x"), "0644", "x")]);
    assert_eq!(Bundle::unpack(&*packed(&long)).unwrap(), long);
}

#[test]
fn what_is_no_plain_file_of_the_bundle_is_refused() {
    let one = bundle("one");
    for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\nb", "", "././x", ".."] {
        let result = with(&one, &[(path, EntryType::Regular, b"x")]);
        assert!(matches!(result, Err(ArchiveError::Path(_))), "{path}: {result:?}");
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNUSparse,
        EntryType::new(b'V'),
    ] {
        let result = with(&one, &[("env/b.env", kind, b"")]);
        assert!(matches!(result, Err(ArchiveError::Kind(_) | ArchiveError::Io(_))), "{kind:?}: {result:?}");
    }
    assert!(matches!(with(&one, &[("../x", EntryType::Directory, b"")]), Err(ArchiveError::Path(_))));
    assert!(matches!(with(&one, &[("env/b.env", EntryType::Regular, b"")]), Err(ArchiveError::Unnamed(_))));
    assert!(matches!(with(&one, &[("env/a.env", EntryType::Regular, b"one")]), Err(ArchiveError::Twice(_))));
    assert!(matches!(with(&one, &[("./env/a.env", EntryType::Regular, b"one")]), Err(ArchiveError::Twice(_))));
    assert!(matches!(with(&one, &[(FILE_NAME, EntryType::Regular, b"{}")]), Err(ArchiveError::Twice(_))));
}

#[test]
fn what_is_not_the_bundle_that_the_manifest_says_is_refused() {
    let one = bundle("one");
    let regular = EntryType::Regular;
    let text = one.manifest_text();
    assert!(matches!(Bundle::unpack(&*archive(&[(FILE_NAME, regular, &text)])), Err(ArchiveError::Missing(_))));
    assert!(matches!(Bundle::unpack(&*archive(&[("a", regular, b"")])), Err(ArchiveError::NotABundle)));
    assert!(matches!(Bundle::unpack(&*archive(&[(FILE_NAME, regular, b"{}")])), Err(ArchiveError::Manifest(_))));
    let mut changed = one.clone();
    changed.files.insert("env/a.env".to_owned(), b"two".to_vec());
    assert!(matches!(Bundle::unpack(&*packed(&changed)), Err(ArchiveError::Changed(path)) if path == "env/a.env"));
    let mut outside = one;
    let entry = outside.manifest.files["env/a.env"].clone();
    outside.manifest.files.insert("../a".to_owned(), entry);
    assert!(matches!(with(&outside, &[]), Err(ArchiveError::Path(_))));
}

#[test]
fn a_bomb_is_refused_before_it_takes_memory() {
    let mut bomb = tar::Builder::new(GzBuilder::new().write(Vec::new(), Compression::fast()));
    for count in 0..40 {
        let mut header = tar::Header::new_gnu();
        header.set_size(4 << 20);
        bomb.append_data(&mut header, format!("f{count}"), io::repeat(0).take(4 << 20)).unwrap();
    }
    let bomb = bomb.into_inner().unwrap().finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    assert!(matches!(Bundle::unpack(&*bomb), Err(ArchiveError::TooLarge)));

    // A header may promise what does not come.
    let mut header = tar::Header::new_gnu();
    header.set_path("f").unwrap();
    header.set_size(u64::MAX / 2);
    header.set_cksum();
    let mut promise = GzBuilder::new().write(Vec::new(), Compression::fast());
    promise.write_all(header.as_bytes()).unwrap();
    assert!(matches!(Bundle::unpack(&*promise.finish().unwrap()), Err(ArchiveError::Io(_))));

    // Zeros behind the end are padding, but not without end.
    let mut padding = GzBuilder::new().write(Vec::new(), Compression::fast());
    io::copy(&mut io::repeat(0).take(100 << 20), &mut padding).unwrap();
    assert!(matches!(Bundle::unpack(&*padding.finish().unwrap()), Err(ArchiveError::TooLarge)));

    let many: Vec<_> = (0..=MOST_ENTRIES).map(|count| format!("f{count}")).collect();
    let many: Vec<_> = many.iter().map(|path| (&**path, EntryType::Regular, &b""[..])).collect();
    assert!(matches!(Bundle::unpack(&*archive(&many)), Err(ArchiveError::TooMany)));
}

#[test]
fn nothing_may_follow() {
    let whole = packed(&bundle("one"));
    for more in [&b"x"[..], b"\0", &whole] {
        let result = Bundle::unpack(&*[&whole, more].concat());
        assert!(matches!(result, Err(ArchiveError::Trailing)), "{result:?}");
    }
    let mut inside = Vec::new();
    GzDecoder::new(&*whole).read_to_end(&mut inside).unwrap();
    inside.push(1);
    let mut again = GzBuilder::new().write(Vec::new(), Compression::fast());
    again.write_all(&inside).unwrap();
    assert!(matches!(Bundle::unpack(&*again.finish().unwrap()), Err(ArchiveError::Trailing)));
}

proptest! {
    #[test]
    fn a_part_of_an_archive_is_none(cut in 0usize..2000) {
        let whole = packed(&bundle("one"));
        prop_assume!(cut < whole.len());
        prop_assert!(Bundle::unpack(&whole[..cut]).is_err());
    }

    #[test]
    fn an_archive_with_wrong_bytes_is_refused_or_the_same(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let one = bundle("one");
        let mut bytes = packed(&one);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = Bundle::unpack(&*bytes) {
            prop_assert_eq!(read, one);
        }
    }

    #[test]
    fn unpacked_bytes_of_any_kind_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12)
    ) {
        let one = bundle("one");
        let mut inside = Vec::new();
        GzDecoder::new(&*packed(&one)).read_to_end(&mut inside).unwrap();
        for (at, byte) in changes {
            let at = at.index(inside.len());
            inside[at] = byte;
        }
        let mut again = GzBuilder::new().write(Vec::new(), Compression::fast());
        again.write_all(&inside).unwrap();
        let _ = Bundle::unpack(&*again.finish().unwrap());
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Bundle::unpack(&*bytes).is_err());
    }
}
