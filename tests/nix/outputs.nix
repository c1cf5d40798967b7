# Evaluates every output of the flake with a stand-in for nixpkgs. The value is "ok", or an error that names what is wrong.
let
  nixpkgs = import ./nixpkgs.nix;
  flake = import ../../flake.nix;
  self = flake.outputs { inherit self nixpkgs; } // {
    # Nix would take what git tracks.
    outPath = builtins.path {
      name = "source";
      path = ../..;
      filter = path: _: !(builtins.elem (baseNameOf path) [ ".git" "result" "target" ]);
    };
  };
  pkgs = nixpkgs.legacyPackages.x86_64-linux;
  citadel = self.packages.x86_64-linux.citadel;
  contains = part: text: builtins.length (builtins.split part text) > 1;
  bundle = profile: locked: self.lib.buildBundle {
    inherit pkgs profile locked;
    src = ../../profiles;
  };

  per_system = builtins.concatMap (system: [
    {
      what = "packages of ${system}";
      is = builtins.attrNames self.packages.${system};
      should = [ "citadel" "default" ];
    }
    {
      what = "checks of ${system}";
      is = builtins.attrNames self.checks.${system};
      should = [ "bundle" "package" "profiles" "tests" ];
    }
    {
      what = "derivations of ${system}";
      is = builtins.all (output: builtins.match "/nix/store/.*\\.drv" output.drvPath != null && output.system == system) (
        builtins.attrValues self.packages.${system}
        ++ builtins.attrValues self.checks.${system}
        ++ builtins.attrValues self.devShells.${system}
        ++ [ self.formatter.${system} ]
      );
      should = true;
    }
  ]) [ "x86_64-linux" "aarch64-linux" ];

  cases = per_system ++ [
    {
      what = "outputs";
      is = builtins.attrNames (removeAttrs self [ "outPath" ]);
      should = [ "checks" "devShells" "formatter" "lib" "packages" ];
    }
    {
      what = "the package's program";
      is = citadel.meta.mainProgram;
      should = "citadel";
    }
    {
      what = "the package's license";
      is = citadel.meta.license.spdxId;
      should = (builtins.fromTOML (builtins.readFile ../../Cargo.toml)).package.license;
    }
    {
      what = "the tests run on the whole project";
      is = self.checks.x86_64-linux.tests.args.doCheck;
      should = true;
    }
    {
      what = "the name of a bundle";
      is = (bundle "ultravox/production" false).name;
      should = "citadel-bundle-ultravox-production";
    }
    {
      what = "a bundle is built from its source by its profile";
      is = contains "citadel .*-C \"\\$src\" build \"\\$profile\"" (bundle "production" false).args.script;
      should = true;
    }
    {
      what = "a bundle is locked when asked for";
      is = map (locked: contains "--locked" (bundle "production" locked).args.script) [ false true ];
      should = [ false true ];
    }
    {
      what = "the program that builds a bundle";
      is = map (input: input.drvPath) (bundle "production" false).args.nativeBuildInputs;
      should = [ citadel.drvPath ];
    }
  ];
  wrong = builtins.filter (case: case.is != case.should) cases;
  report = case: "${case.what}: ${builtins.toJSON case.is}, but should be ${builtins.toJSON case.should}";
in
if wrong == [ ] then "ok" else throw (builtins.concatStringsSep "\n" (map report wrong))
