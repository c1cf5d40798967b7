{
  description = "A build-time configuration compiler for AI services on your own GPU machines";

  # Rust 1.91 or newer.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each = outputs: lib.genAttrs systems (system: outputs nixpkgs.legacyPackages.${system});
      citadelFor = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system}.citadel;
    in
    {
      packages = each (pkgs: rec {
        default = citadel;
        citadel = pkgs.rustPlatform.buildRustPackage {
          pname = "citadel";
          version = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package.version;
          # Only what the program is made of, so that a change of a profile or a page does not build it again.
          src = lib.fileset.toSource {
            root = ./.;
            fileset = lib.fileset.unions [
              ./Cargo.lock
              ./Cargo.toml
              ./build.rs
              ./modules
              ./src
              ./templates
            ];
          };
          cargoLock.lockFile = ./Cargo.lock;
          nativeBuildInputs = [ pkgs.installShellFiles ];
          # The check `tests` runs them on the whole project.
          doCheck = false;
          # The modules on disk are for editors and the `nickel` command; the program has its own.
          postInstall = ''
            for shell in bash fish zsh; do
              $out/bin/citadel completions $shell > citadel.$shell
              installShellCompletion --cmd citadel --$shell citadel.$shell
            done
            mkdir -p $out/share/citadel
            cp -r modules $out/share/citadel/
          '';
          meta = {
            inherit (import ./flake.nix) description;
            license = lib.licenses.mit;
            mainProgram = "citadel";
            platforms = systems;
          };
        };
      });

      # Builds the bundle of a profile:
      #
      #   citadel.lib.buildBundle { inherit pkgs; src = ./.; profile = "production"; }
      #
      # `src` is the folder that holds `profiles/`. With `locked` the build fails when citadel.lock says something else.
      lib.buildBundle =
        {
          pkgs,
          src,
          profile,
          locked ? false,
        }:
        pkgs.runCommand "citadel-bundle-${builtins.replaceStrings [ "/" ] [ "-" ] profile}"
          {
            nativeBuildInputs = [ (citadelFor pkgs) ];
            inherit src profile;
          }
          ''
            citadel --color never -C "$src" build "$profile" -o "$PWD/bundle"${lib.optionalString locked " --locked"}
            cp -r bundle "$out"
          '';

      checks = each (pkgs: {
        package = citadelFor pkgs;

        tests = (citadelFor pkgs).overrideAttrs {
          pname = "citadel-tests";
          src = self;
          doCheck = true;
          nativeCheckInputs = [
            pkgs.logrotate
            pkgs.systemd
          ];
        };

        profiles = pkgs.runCommand "citadel-profiles" { nativeBuildInputs = [ (citadelFor pkgs) ]; } ''
          citadel --color never -C ${self} check | tee "$out"
        '';

        bundle = self.lib.buildBundle {
          inherit pkgs;
          src = self;
          profile = "production";
        };
      });

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (citadelFor pkgs) ];
          packages = [
            pkgs.cargo-deny
            pkgs.clippy
            pkgs.mdbook
            pkgs.nickel
            pkgs.nls
            pkgs.rustfmt
          ];
          # Lets `nickel` and the language server find `citadel/lib.ncl`.
          shellHook = ''
            export NICKEL_IMPORT_PATH="$PWD/modules"
          '';
        };
      });

      formatter = each (pkgs: pkgs.nixfmt);
    };
}
