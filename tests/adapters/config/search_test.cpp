// SPDX-License-Identifier: Apache-2.0
// Where the configuration, the hosts and the state folder are looked for.
#include <catch2/catch.hpp>

#include "adapters/config/files.hpp"

using namespace umbra;
using namespace umbra::test;

namespace {

std::string host_file(const std::string& name) {
  return "[hosts." + name + "]\nuri = \"qemu+tcp://" + name + "/system\"\n";
}
std::string first_host(const System& system) {
  return system.load().hosts.at(0).name.get();
}

}  // namespace

TEST_CASE("the flag, then UMBRA_CONFIG, then XDG_CONFIG_HOME, then the home, then the system's file is read") {
  System system;
  const std::string by_flag = system.write("flag.toml", host_file("by-flag"));
  const std::string by_variable = system.write("variable.toml", host_file("by-variable"));
  system.write("xdg/umbra/umbra.toml", host_file("by-xdg"));
  system.write("home/.config/umbra/umbra.toml", host_file("by-home"));
  system.write("etc/umbra.toml", host_file("by-system"));
  auto& variables = system.environment.variables;
  variables = {{"UMBRA_CONFIG", by_variable}, {"XDG_CONFIG_HOME", system.path("xdg")}, {"HOME", system.path("home")}};
  system.options.config_file = by_flag;

  CHECK(first_host(system) == "by-flag");
  CHECK(origin_of(system.load(), "config").where == "--config");
  system.options.config_file.reset();
  CHECK(first_host(system) == "by-variable");
  CHECK(origin_of(system.load(), "config").where == "UMBRA_CONFIG");
  variables["UMBRA_CONFIG"] = "";  // empty counts as unset
  CHECK(first_host(system) == "by-xdg");
  variables["XDG_CONFIG_HOME"] = "relative";  // the specification says to ignore it
  CHECK(first_host(system) == "by-home");
  variables.erase("HOME");
  CHECK(first_host(system) == "by-system");
  CHECK(origin_of(system.load(), "config").value == system.path("etc/umbra.toml"));
}

TEST_CASE("a named configuration must be there") {
  System system;
  system.options.config_file = "/nowhere/umbra.toml";
  CHECK(system.failure().kind() == base::Kind::usage);
  CHECK(std::string(system.failure().what()) ==
        "--config names the configuration /nowhere/umbra.toml, which is no file");
  system.options.config_file.reset();
  system.environment.variables["UMBRA_CONFIG"] = "/nowhere/umbra.toml";
  CHECK(std::string(system.failure().what()) ==
        "UMBRA_CONFIG names the configuration /nowhere/umbra.toml, which is no file");
}

TEST_CASE("conf.d is read after the main file in the order of names, and later keys win") {
  System system;
  system.write("etc/umbra.toml", host_file("alpha") + "images = \"/main\"\n[vms.\"*\"]\nretain = 2\nrpo = \"1m\"\n");
  system.write("etc/conf.d/20-b.toml", "[vms.\"*\"]\nretain = 5\n");
  system.write("etc/conf.d/10-a.toml",
               host_file("beta") + "[vms.\"*\"]\nretain = 4\n[hosts.alpha]\nimages = \"/drop-in\"\n");
  system.write("etc/conf.d/notes.txt", "this is no TOML");
  const model::Config config = system.load();
  REQUIRE(config.hosts.size() == 2);
  CHECK(config.hosts[0].images == "/drop-in");
  CHECK(config.hosts[0].uri == "qemu+tcp://alpha/system");
  const model::VmPolicy policy = config.policy(model::VmName("web1"));
  CHECK(policy.retain == 5);
  CHECK(policy.rpo == base::Seconds{60});
  CHECK(origin_of(config, "vms.\"*\".retain").value == "5");
  CHECK(origin_of(config, "vms.\"*\".retain").where == system.path("etc/conf.d/20-b.toml") + ":2");
  CHECK(origin_of(config, "hosts.alpha.images").where == system.path("etc/conf.d/10-a.toml") + ":6");
  CHECK(origin_of(config, "hosts.alpha.uri").where == system.path("etc/umbra.toml") + ":2");
}

TEST_CASE("conf.d alone is a configuration") {
  System system;
  system.write("etc/conf.d/a.toml", host_file("alpha"));
  CHECK(first_host(system) == "alpha");
}

TEST_CASE("a pattern keeps the place of its first appearance when a later file adds to it") {
  System system;
  system.write("etc/umbra.toml", "[vms.\"*\"]\nretain = 2\n[vms.\"web*\"]\nretain = 3\n");
  system.write("etc/conf.d/a.toml", "[vms.\"*\"]\nretain = 9\n");
  CHECK(system.load().policy(model::VmName("web1")).retain == 3);
  CHECK(system.load().policy(model::VmName("db1")).retain == 9);
}

TEST_CASE("without any file there is libvirt's default") {
  System system;
  model::Config config = system.load();
  REQUIRE(config.hosts.size() == 1);
  CHECK(config.hosts[0].name.get() == "local");
  CHECK(config.hosts[0].uri == "qemu:///system");
  CHECK(config.hosts[0].peer_uri == "qemu:///system");
  CHECK(origin_of(config, "config").value == "none");
  CHECK(origin_of(config, "hosts.local.uri").where == "default");

  system.environment.variables["LIBVIRT_DEFAULT_URI"] = "test:///default";
  config = system.load();
  CHECK(config.hosts[0].uri == "test:///default");
  CHECK(origin_of(config, "hosts.local.uri").where == "LIBVIRT_DEFAULT_URI");
}

TEST_CASE("the option --connect, then UMBRA_CONNECT, stand in place of the configured hosts") {
  System system;
  system.write("etc/umbra.toml", host_file("alpha") + host_file("beta") + "images = \"/beta\"\n");
  system.environment.variables["LIBVIRT_DEFAULT_URI"] = "test:///default";
  CHECK(system.load().hosts.size() == 2);

  system.environment.variables["UMBRA_CONNECT"] = "qemu:///session";
  model::Config config = system.load();
  REQUIRE(config.hosts.size() == 1);
  CHECK(config.hosts[0].name.get() == "local");
  CHECK(origin_of(config, "hosts.local.uri").where == "UMBRA_CONNECT");
  CHECK(origin_of(config, "hosts.alpha.uri").key.empty());

  system.options.connect = "qemu+ssh://root@gamma:2222/system";
  config = system.load();
  CHECK(config.hosts.at(0).name.get() == "gamma");
  CHECK(config.hosts.at(0).uri == "qemu+ssh://root@gamma:2222/system");
  CHECK(origin_of(config, "hosts.gamma.uri").where == "--connect");

  // A URI that is configured means that host, with all that is said of it.
  system.options.connect = "qemu+tcp://beta/system";
  config = system.load();
  REQUIRE(config.hosts.size() == 1);
  CHECK(config.hosts[0].name.get() == "beta");
  CHECK(config.hosts[0].images == "/beta");
  CHECK(origin_of(config, "hosts.beta.images").where == system.path("etc/umbra.toml") + ":5");
}

TEST_CASE("the option --connect must be a URI") {
  System system;
  system.options.connect = "beta";
  CHECK(system.failure().kind() == base::Kind::usage);
  CHECK(std::string(system.failure().what()) == "--connect is no libvirt URI: \"beta\"");
}

TEST_CASE("the state folder: flag, UMBRA_STATE, the configuration, the system's or one's own") {
  System system;
  system.write("etc/umbra.toml", "[state]\ndir = \"/configured\"\n");
  system.environment.variables["UMBRA_STATE"] = "/by-variable";
  system.options.state_dir = "/by-flag";
  CHECK(system.load().state_dir == "/by-flag");
  CHECK(origin_of(system.load(), "state.dir").where == "--state");
  system.options.state_dir.reset();
  CHECK(system.load().state_dir == "/by-variable");
  CHECK(origin_of(system.load(), "state.dir").where == "UMBRA_STATE");
  system.environment.variables.clear();
  CHECK(system.load().state_dir == "/configured");
  CHECK(origin_of(system.load(), "state.dir").where == system.path("etc/umbra.toml") + ":2");

  System bare;
  CHECK(bare.load().state_dir == bare.path("var"));
  CHECK(origin_of(bare.load(), "state.dir").where == "default");
  bare.environment.root = false;
  bare.environment.variables = {{"XDG_STATE_HOME", "/xdg"}, {"HOME", "/home/me"}};
  CHECK(bare.load().state_dir == "/xdg/umbra");
  bare.environment.variables = {{"HOME", "/home/me"}};
  CHECK(bare.load().state_dir == "/home/me/.local/state/umbra");
  bare.environment.variables.clear();
  CHECK(std::string(bare.failure().what()) == "no folder for the state: neither XDG_STATE_HOME nor HOME is set");
}

TEST_CASE("a host is found by the address in its URI; a local one has none") {
  System system;
  system.options.config_file =
      system.write("hosts.toml",
                   "[hosts.alpha]\nuri = \"qemu+tcp://10.0.0.1/system\"\n[hosts.beta]\nuri = "
                   "\"qemu+ssh://root@beta.example:22/system\"\n"
                   "[hosts.six]\nuri = \"qemu+tls://[fd00::6]/system\"\n[hosts.here]\nuri = \"qemu:///system\"\n");
  using Names = std::map<std::string, model::HostName>;
  CHECK(config::hosts_by_address(system.load()) == Names{{"10.0.0.1", model::HostName("alpha")},
                                                         {"beta.example", model::HostName("beta")},
                                                         {"fd00::6", model::HostName("six")}});
}
