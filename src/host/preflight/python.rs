//! Python: whether its interpreter runs, whether modules can be imported, and whether PyTorch sees CUDA.
//!
//! Only the interpreter itself knows: a module may be there and still fail to load, such as one for another CUDA. It runs
//! as the user of the service, in its working directory and with its environment, and leaves no compiled files behind.

use std::path::Path;

use super::answer::{Answer, Failure};
use crate::health::Reason;

/// Imports each module and says which cannot be.
const IMPORT: &str = r#"
import importlib, sys
broken = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        broken.append("%s (%s: %s)" % (name, type(error).__name__, " ".join(str(error).split())))
if broken:
    sys.stdout.flush()
    sys.stderr.flush()
    print(", ".join(broken), flush=True)
    sys.exit(1)
"#;

/// Asks PyTorch for CUDA and says why it has none. What it warns of says more than its answer.
const TORCH: &str = r#"
import sys, warnings
try:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        import torch
        sees = torch.cuda.is_available()
    why = ""
    if not sees and torch.version.cuda is None:
        why = "this PyTorch is built without CUDA"
    elif not sees:
        why = "built for CUDA %s; %s" % (torch.version.cuda, " ".join(str(said[-1].message).split()) if said else "no reason given")
except BaseException as error:
    why = "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
if why:
    sys.stderr.flush()
    print(why, flush=True)
    sys.exit(1)
"#;

/// Returns the command that imports modules.
pub fn import(interpreter: &Path, modules: &[String]) -> Vec<String> {
    command(interpreter, IMPORT, modules)
}

/// Returns the command that asks PyTorch for CUDA.
pub fn torch(interpreter: &Path) -> Vec<String> {
    command(interpreter, TORCH, &[])
}

fn command(interpreter: &Path, script: &str, arguments: &[String]) -> Vec<String> {
    let fixed = [&*interpreter.to_string_lossy(), "-B", "-c", script].map(str::to_owned);
    fixed.into_iter().chain(arguments.iter().cloned()).collect()
}

/// Judges how the import of modules ended.
pub fn imported(interpreter: &Path, modules: &[String], ended: Result<(), Reason>) -> Answer {
    let python = interpreter.display();
    let found = format!("{python} imports {}", modules.join(", "));
    ended.map(|()| found).map_err(|reason| match said(&reason) {
        Some(broken) => Failure::new(
            format!("{python} cannot import {broken}"),
            format!("install what is missing, such as with: {python} -m pip install NAME"),
        ),
        None => not_run(interpreter, &reason),
    })
}

/// Judges what PyTorch said.
pub fn sees_cuda(interpreter: &Path, ended: Result<(), Reason>) -> Answer {
    let python = interpreter.display();
    let found = format!("PyTorch of {python} sees CUDA");
    ended.map(|()| found).map_err(|reason| match said(&reason) {
        Some(why) => Failure::new(
            format!("PyTorch of {python} does not see CUDA ({why})"),
            "look at `citadel gpu status` and at CUDA_VISIBLE_DEVICES of the service; install a PyTorch for this CUDA",
        ),
        None => not_run(interpreter, &reason),
    })
}

/// Returns the words of a script that ended as it says itself.
fn said(reason: &Reason) -> Option<&str> {
    match reason {
        Reason::Ended { end, output: Some(output) } if end == "status 1" => Some(output),
        _ => None,
    }
}

fn not_run(interpreter: &Path, reason: &Reason) -> Failure {
    let python = interpreter.display();
    Failure::new(
        format!("{python} {reason}"),
        format!("try it as the user of the service: {python} -c pass; correct the path when it is another"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::reason;
    use super::*;

    fn ended(end: &str, output: &str) -> Result<(), Reason> {
        Err(Reason::Ended { end: end.to_owned(), output: Some(output.to_owned()) })
    }

    #[test]
    fn what_python_said_is_told() {
        let python = Path::new("/venv/bin/python");
        let modules = ["fastapi".to_owned(), "torch".to_owned()];
        assert_eq!(imported(python, &modules, Ok(())), Ok("/venv/bin/python imports fastapi, torch".to_owned()));
        assert_eq!(
            reason(imported(
                python,
                &modules,
                ended("status 1", "torch (ModuleNotFoundError: No module named 'torch')")
            )),
            "/venv/bin/python cannot import torch (ModuleNotFoundError: No module named 'torch')"
        );
        assert_eq!(
            reason(imported(python, &modules, ended("signal 11", "x"))),
            "/venv/bin/python ended with signal 11: x"
        );
        let missing = Err(Reason::NotRun("no such file or directory".to_owned()));
        assert_eq!(
            reason(imported(python, &modules, missing)),
            "/venv/bin/python cannot be run: no such file or directory"
        );
    }

    #[test]
    fn what_pytorch_said_is_told() {
        let python = Path::new("/p");
        assert_eq!(sees_cuda(python, Ok(())), Ok("PyTorch of /p sees CUDA".to_owned()));
        assert_eq!(
            reason(sees_cuda(python, ended("status 1", "this PyTorch is built without CUDA"))),
            "PyTorch of /p does not see CUDA (this PyTorch is built without CUDA)"
        );
    }

    #[test]
    fn modules_are_arguments_and_no_code() {
        let command = import(Path::new("/p"), &["a.b".to_owned()]);
        assert_eq!((command[1].as_str(), command[2].as_str(), command[4].as_str()), ("-B", "-c", "a.b"));
        assert!(!command[3].contains("a.b"));
    }
}
