//! Whatever a profile says, systemd reads exactly that back out of a unit or an environment file, or citadel refuses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use citadel::bundle::env_file::encode_env_file;
use citadel::bundle::unit::{UnitFile, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestRng, TestRunner};

use crate::machine::Machine;
use crate::systemd;

/// Returns as many values of a strategy as there shall be cases, the same ones every time.
fn samples<S: Strategy>(strategy: S) -> Vec<S::Value> {
    let config = ProptestConfig::default();
    let cases = config.cases;
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    (0..cases).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Text made of what has a meaning somewhere in systemd, among any other characters.
fn hostile() -> impl Strategy<Value = String> {
    let meaningful = prop::sample::select(vec![
        "%",
        "%%",
        "%n",
        "%h",
        "$",
        "$$",
        "$HOME",
        "${HOME}",
        "\\",
        "\\\\",
        "\\x25n",
        "\\n",
        "\\s",
        "\\101",
        "\"",
        "'",
        "`",
        ";",
        " ; ",
        "#",
        "=",
        ":",
        "-",
        "@",
        "+",
        "!",
        "|",
        "~",
        "*",
        "?",
        "[",
        "]",
        "{",
        "}",
        ",",
        "/",
        "//",
        "/../",
        "/./",
        " ",
        "  ",
        "a",
        "b",
        "Z",
        "0",
        "é",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{200b}",
        "\u{202e}",
        "\u{feff}",
        "😀",
        "\u{10fffd}",
    ]);
    let breaking = prop::sample::select(vec![
        "\n",
        "\r",
        "\0",
        "\t",
        "\x1b",
        "\x01",
        "\x7f",
        "\nUser=root",
        "\r[Service]\rUser=root\r",
        "\u{fffe}",
        "\u{fdd0}",
        "\u{1ffff}",
    ]);
    let piece = prop_oneof![
        24 => meaningful.prop_map(str::to_owned),
        8 => "[a-zA-Z0-9 ]{1,6}",
        4 => any::<char>().prop_map(String::from),
        1 => breaking.prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn hostile_path() -> impl Strategy<Value = String> {
    let name = hostile().prop_map(|text| text.replace('/', "_"));
    prop_oneof![
        8 => prop::collection::vec(name, 1..3).prop_map(|names| format!("/{}", names.join("/"))),
        1 => hostile(),
    ]
}

/// Adds an assignment unless the value is refused; tells which.
fn assign(text: &mut String, key: &str, value: &Value) -> bool {
    let encoded = value.encode();
    if let Ok(encoded) = &encoded {
        text.push_str(&format!("{key}={encoded}\n"));
    }
    encoded.is_ok()
}

/// A test in which everything is refused proves nothing.
fn enough(what: &str, accepted: usize, all: usize) {
    assert!(accepted * 3 >= all, "only {accepted} of {all} were accepted: {what}");
}

#[test]
fn systemd_reads_back_every_value() {
    let case = (hostile(), prop::collection::vec(hostile(), 0..4), prop::collection::vec(hostile_path(), 2..4));
    let cases = samples(case);
    let mut units = BTreeMap::new();
    let mut expected = BTreeMap::new();
    for (number, (text, arguments, paths)) in cases.iter().enumerate() {
        let mut unit = "[Unit]\nDefaultDependencies=no\n".to_owned();
        let mut read = BTreeMap::new();
        let mut expect = |key, accepted: bool, value: Vec<String>| accepted.then(|| read.insert(key, value));

        let description = assign(&mut unit, "Description", &Value::Text(text.clone()));
        expect("Description", description, vec![text.clone()]);
        let listed = Value::Paths { paths: paths.clone(), optional: false };
        let mounts: BTreeSet<_> = paths.iter().cloned().collect();
        expect("RequiresMountsFor", assign(&mut unit, "RequiresMountsFor", &listed), mounts.into_iter().collect());
        unit.push_str("[Service]\n");
        let argv: Vec<_> = ["/bin/true"].into_iter().map(str::to_owned).chain(arguments.iter().cloned()).collect();
        let command = assign(&mut unit, "ExecStart", &Value::Command(argv.clone()));
        if !command {
            unit.push_str("ExecStart=/bin/true\n");
        }
        expect("Command Line", command, argv);
        let path = paths[0].clone();
        let single = Value::Path(path.clone());
        expect("WorkingDirectory", assign(&mut unit, "WorkingDirectory", &single), vec![path.clone()]);
        expect("EnvironmentFile", assign(&mut unit, "EnvironmentFile", &single), vec![path]);
        let listed = Value::Paths { paths: paths.clone(), optional: true };
        let optional = paths.iter().map(|path| format!("-{path}")).collect::<Vec<_>>().join(" ");
        expect("ReadWritePaths", assign(&mut unit, "ReadWritePaths", &listed), vec![optional]);

        let own = UnitFile::parse(&unit).unwrap_or_else(|error| panic!("{unit}\n{error}"));
        assert_eq!(own.sections.len(), 2, "{unit}");
        units.insert(format!("case{number}.service"), unit);
        expected.insert(format!("case{number}.service"), read);
    }
    for key in ["Description", "RequiresMountsFor", "Command Line", "WorkingDirectory", "ReadWritePaths"] {
        enough(key, expected.values().filter(|read| read.contains_key(key)).count(), cases.len());
    }

    units.insert(
        "plain.service".to_owned(),
        "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/true\n".to_owned(),
    );
    let loaded = match systemd::load(&units) {
        Ok(loaded) => loaded,
        Err(reason) => return systemd::skip("systemd_reads_back_every_value", &reason),
    };
    let plain = what_no_case_sets(&loaded, "plain.service");
    for (unit, expected) in &expected {
        let text = &units[unit];
        assert_eq!(loaded.complaints(unit), [], "{text}");
        for (key, expected) in expected {
            let read = loaded.values(unit, key);
            let read: Vec<String> = match *key {
                "Command Line" => {
                    let argv = split_command_line(read.first().unwrap_or_else(|| panic!("no command: {text}")));
                    // Variables are expanded when a service starts; `$$` is all that citadel writes.
                    argv.into_iter().map(|word| String::from_utf8(word).unwrap().replace("$$", "$")).collect()
                }
                "RequiresMountsFor" => {
                    let asked_for = read.iter().filter_map(|value| value.rsplit_once(" ("));
                    let asked_for = asked_for.filter(|(_, origin)| origin.contains("origin-file"));
                    asked_for.map(|(path, _)| path.to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
                }
                _ => read.into_iter().map(str::to_owned).collect(),
            };
            assert_eq!(&read, expected, "{key} of\n{text}");
        }
        let other = what_no_case_sets(&loaded, unit);
        let difference = other.iter().zip(&plain).find(|(own, plain)| own != plain);
        assert_eq!((difference, other.len()), (None, plain.len()), "{text}");
    }
}

/// Returns the lines about a unit that must be the same whatever the values of its directives are.
fn what_no_case_sets<'a>(loaded: &'a systemd::Loaded, unit: &str) -> Vec<&'a str> {
    let set = [
        "Description",
        "Fragment Path",
        "Requires",
        "After",
        "References",
        "RequiresMountsFor",
        "WorkingDirectory",
        "EnvironmentFile",
        "ReadWritePaths",
        "Command Line",
    ];
    let is_set = |line: &str| line.split_once(": ").is_some_and(|(key, _)| set.contains(&key));
    loaded.dump(unit).iter().map(String::as_str).filter(|line| !is_set(line)).collect()
}

#[test]
fn services_get_their_variables_arguments_names_and_credentials() {
    const TEST: &str = "services_get_their_variables_arguments_names_and_credentials";
    let machine = Machine::new();
    let mut services = Vec::new();
    let mut add = |name: String, text: &str| {
        machine.add_unit(&name, &format!("[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n{text}"));
        services.push(name);
    };

    let values = samples(hostile());
    let accepted: Vec<_> = values.iter().filter(|value| encode_env_file([("A", value.as_str())]).is_ok()).collect();
    enough("variables", accepted.len(), values.len());
    fs::create_dir(machine.path("env")).unwrap();
    let variables: Vec<Vec<(String, &str)>> = accepted
        .chunks(20)
        .map(|chunk| chunk.iter().enumerate().map(|(number, value)| (format!("V{number}_"), value.as_str())).collect())
        .collect();
    for (number, pairs) in variables.iter().enumerate() {
        let file = encode_env_file(pairs.iter().map(|(name, value)| (name.as_str(), *value))).unwrap();
        systemd::write(&machine.path(&format!("env/{number}")), file.as_bytes());
        let copy = format!(
            "EnvironmentFile=/citadel/env/{number}\nExecStart=/bin/cp /proc/self/environ /citadel/out/env{number}\n"
        );
        add(format!("env{number}.service"), &copy);
    }

    let usable = |value: &&String| Value::Command(vec!["/bin/true".to_owned(), (*value).clone()]).encode().is_ok();
    let arguments: Vec<_> = values.iter().filter(usable).collect();
    enough("arguments", arguments.len(), values.len());
    for (number, arguments) in arguments.chunks(50).enumerate() {
        let argv = ["/bin/sh", "-c", &format!("cat /proc/$$/cmdline >/citadel/out/argv{number}"), "sh"];
        let argv = argv.into_iter().map(str::to_owned).chain(arguments.iter().map(|argument| (*argument).clone()));
        let command = Value::Command(argv.collect()).encode().unwrap();
        add(format!("argv{number}.service"), &format!("ExecStart={command}\n"));
    }

    let mut credentials =
        "ExecStart=/bin/sh -c 'cp -r \"$$CREDENTIALS_DIRECTORY\" /citadel/out/credentials'\n".to_owned();
    let mut loaded = Vec::new();
    for (number, path) in samples(hostile_path()).iter().map(|path| format!("/citadel/secret{path}")).enumerate() {
        let id = format!("id-{number}");
        if assign(&mut credentials, "LoadCredential", &Value::Credential { id: id.clone(), path: path.clone() }) {
            let inside = machine.path(path.strip_prefix("/citadel/").unwrap());
            // A path may lead through what is already a file.
            if fs::create_dir_all(inside.parent().unwrap()).is_ok() && fs::write(&inside, &path).is_ok() {
                loaded.push((id, path));
            } else {
                credentials.truncate(credentials.trim_end().rfind('\n').unwrap() + 1);
            }
        }
    }
    enough("credentials", loaded.len(), values.len());
    add("credentials.service".to_owned(), &credentials);

    let mut names = Vec::new();
    for name in &values {
        let mut unit = "ExecStart=/bin/true\n".to_owned();
        if assign(&mut unit, "SyslogIdentifier", &Value::Text(name.clone())) {
            let number = names.len();
            machine.add_unit(&format!("name{number}.service"), &format!("[Service]\n{unit}"));
            names.push(name);
        }
    }
    let named: String = (0..names.len()).map(|number| format!(" name{number}.service")).collect();
    let show = format!("systemctl show --value --property=SyslogIdentifier{named} >/citadel/out/names");

    if let Err(reason) = machine.run(&services, &show) {
        return systemd::skip(TEST, &reason);
    }

    for (number, pairs) in variables.iter().enumerate() {
        let environment = machine.read_text(&format!("env{number}"));
        let read: BTreeMap<_, _> = environment.split_terminator('\0').filter_map(|pair| pair.split_once('=')).collect();
        for (name, value) in pairs {
            assert_eq!(read.get(name.as_str()), Some(value), "{name} of\n{environment:?}");
        }
    }
    for (number, arguments) in arguments.chunks(50).enumerate() {
        let line = machine.read_text(&format!("argv{number}"));
        let read: Vec<_> = line.split_terminator('\0').skip(4).collect();
        assert_eq!(read, arguments);
    }
    for (id, path) in &loaded {
        assert_eq!(&machine.read_text(&format!("credentials/{id}")), path);
    }
    let read = machine.read_text("names");
    assert_eq!(read.trim_end_matches('\n').split("\n\n").collect::<Vec<_>>(), names);
}

#[test]
fn unit_files_are_read_as_systemd_reads_them() {
    let piece = prop::sample::select(vec![
        "Description=",
        "\nDescription=",
        "\nDescription =",
        "a",
        "b",
        "é",
        " ",
        "\t",
        "\\",
        "\\\n",
        "\\\r\n",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\0",
        "#",
        ";",
        "\n#",
        "\n ;",
        "\\\n#",
        "\n[Unit]\n",
        "\n[X-Other]\n",
        "\u{feff}",
        "=",
        "\"",
        "'",
        "\u{a0}",
    ]);
    let files = samples(prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat()));
    let mut units = BTreeMap::new();
    let mut expected = BTreeMap::new();
    for (number, text) in files.iter().enumerate() {
        let text = format!("[Unit]\nDefaultDependencies=no\n{text}");
        if let Ok(unit) = UnitFile::parse(&text) {
            let name = format!("case{number}.target");
            expected.insert(name.clone(), unit.value("Unit", "Description").unwrap_or(&name).to_owned());
            units.insert(name, text);
        }
    }
    enough("unit files", units.len(), files.len());
    let loaded = match systemd::load(&units) {
        Ok(loaded) => loaded,
        Err(reason) => return systemd::skip("unit_files_are_read_as_systemd_reads_them", &reason),
    };
    for (unit, description) in &expected {
        assert_eq!(loaded.values(unit, "Description"), [description], "{:?}", units[unit]);
    }
}

/// Splits the command line of a dump, which systemd quotes as a shell would.
fn split_command_line(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    while bytes.peek().is_some() {
        let mut word = Vec::new();
        let mut quoted = false;
        while let Some(byte) = bytes.next() {
            match byte {
                b' ' if !quoted => break,
                b'"' => quoted = !quoted,
                b'\\' => match bytes.next().expect("something behind a backslash") {
                    b'a' => word.push(7),
                    b'b' => word.push(8),
                    b't' => word.push(b'\t'),
                    b'n' => word.push(b'\n'),
                    b'v' => word.push(11),
                    b'f' => word.push(12),
                    b'r' => word.push(b'\r'),
                    high @ b'0'..=b'3' => {
                        let mut digit = || bytes.next().expect("three octal digits") - b'0';
                        word.push((high - b'0') << 6 | digit() << 3 | digit());
                    }
                    other => word.push(other),
                },
                other => word.push(other),
            }
        }
        words.push(word);
    }
    words
}
