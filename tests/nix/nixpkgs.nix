# A stand-in for nixpkgs, as far as flake.nix uses it, so that the flake can be evaluated without a network.
#
# Packages are real derivations of Nix, so what ends up in one has to be a value that a derivation can have.
let
  source = path: if builtins.pathExists path then path else throw "${toString path} does not exist";

  lib = rec {
    genAttrs =
      names: value:
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = value name;
        }) names
      );
    optionalString = condition: text: if condition then text else "";
    licenses.mit.spdxId = "MIT";
    # As in nixpkgs, a path that does not exist is an error.
    fileset = {
      unions = map source;
      toSource =
        { root, fileset }:
        builtins.path {
          name = "source";
          path = root;
          filter =
            path: _:
            builtins.any (
              chosen: isBelow path (toString chosen) || isBelow (toString chosen) path
            ) fileset;
        };
    };
    isBelow = path: folder: path == folder || builtins.substring 0 (builtins.stringLength folder + 1) path == folder + "/";
  };

  packagesFor =
    system:
    let
      make =
        args:
        builtins.derivation (
          {
            name = "${args.pname}-${args.version}";
            inherit system;
            builder = "/bin/sh";
          }
          // removeAttrs args [
            "cargoLock"
            "meta"
          ]
        )
        // {
          inherit args;
          meta = args.meta or { };
          overrideAttrs = change: make (args // change);
        };
      package = name: make {
        pname = name;
        version = "0";
      };
    in
    lib.genAttrs [
      "cargo-deny"
      "clippy"
      "installShellFiles"
      "logrotate"
      "mdbook"
      "nickel"
      "nixfmt"
      "nls"
      "rustfmt"
      "systemd"
    ] package
    // {
      stdenv.hostPlatform.system = system;
      rustPlatform.buildRustPackage =
        args:
        let
          locked = builtins.fromTOML (builtins.readFile args.cargoLock.lockFile);
          own = builtins.filter (crate: crate.name == args.pname) locked.package;
        in
        if map (crate: crate.version) own == [ args.version ] then
          make args
        else
          throw "Cargo.lock has another version of ${args.pname} than ${args.version}";
      runCommand = name: args: script: make ({ inherit name script; } // args);
      mkShell = args: make ({ name = "shell"; } // args);
    };
in
{
  inherit lib;
  legacyPackages = lib.genAttrs [
    "x86_64-linux"
    "aarch64-linux"
  ] packagesFor;
}
