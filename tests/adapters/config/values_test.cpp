// SPDX-License-Identifier: Apache-2.0
// What each key becomes, how patterns add up, and where each value says it came from.
#include <catch2/catch.hpp>

#include <algorithm>

#include "adapters/config/files.hpp"
#include "base/fd.hpp"

using namespace umbra;
using namespace umbra::test;
using model::Resource;

namespace {

model::Config loaded(const std::string& text) {
  System system;
  system.write("etc/umbra.toml", text);
  return system.load();
}

std::string example() {
  return std::string(UMBRA_SOURCE_DIR) + "/examples/umbra.toml";
}

model::Config load_example() {
  System system;
  system.options.config_file = example();
  return system.load();
}

}  // namespace

TEST_CASE("the example loads, and every key of the table is in it") {
  const model::Config config = load_example();
  for (const std::string& key : config::known_keys()) {
    CAPTURE(key);
    // NAME and PATTERN stand for any one name.
    const std::size_t dot = key.find('.');
    const std::string section = key.substr(0, dot);
    const bool named = section == "hosts" || section == "vms" || section == "pool";
    const std::string last = key.substr(named ? key.find('.', dot + 1) : dot);
    const bool shown = std::ranges::any_of(config.origins, [&](const model::Origin& origin) {
      return origin.key.starts_with(section + ".") && origin.key.ends_with(last) && origin.where.starts_with(example());
    });
    CHECK(shown);
  }
}

TEST_CASE("a probe has a short form for each of its ways, and {vm} is the VM's name") {
  const auto probe_of = [](const std::string& value) {
    return loaded("[vms.\"*\"]\nprobe = " + value + "\n").policy(model::VmName("web1")).probe;
  };
  CHECK(probe_of("\"tcp:10.1.0.7:80\"") == model::ProbeWay{model::TcpProbe{"10.1.0.7:80"}});
  CHECK(probe_of("{ tcp = \"web:80\" }") == model::ProbeWay{model::TcpProbe{"web:80"}});
  CHECK(probe_of("\"https://web/\"") == model::ProbeWay{model::HttpProbe{"https://web/", 0, ""}});
  CHECK(probe_of("[\"probe\", \"{vm}\"]") == model::ProbeWay{base::Argv{"probe", "{vm}"}});
  CHECK(probe_of("{ run = [\"probe\"] }") == model::ProbeWay{base::Argv{"probe"}});
  CHECK_FALSE(model::is_given(probe_of("[]")));
  const model::VmName web1("web1");
  CHECK(model::for_vm(probe_of("[\"probe\", \"a{vm}b{vm}\"]"), web1) ==
        model::ProbeWay{base::Argv{"probe", "aweb1bweb1"}});
  // A name that looks like the placeholder is not looked at again.
  CHECK(model::for_vm(model::ProbeWay{model::TcpProbe{"{vm}:1"}}, model::VmName("{vm}")) ==
        model::ProbeWay{model::TcpProbe{"{vm}:1"}});
}

TEST_CASE("every key of a redirector and of a probe is in the example") {
  const std::string text = base::read_text_file(example());
  for (const char* key : {"haproxy", "backend", "servers", "server", "addresses", "others", "route", "via", "dev",
                          "table", "ip", "run", "timeout", "retries", "tcp", "http", "status", "ca"}) {
    CAPTURE(key);
    CHECK(text.find(std::string(key) + " = ") != std::string::npos);
  }
}

TEST_CASE("the example's values arrive") {
  const model::Config config = load_example();
  CHECK(config.state_dir == "/var/lib/umbra");
  const model::HostConfig& alpha = config.host(model::HostName("alpha"));
  CHECK(alpha.uri == "qemu+tcp://10.0.0.1/system");
  CHECK(alpha.images == "/var/lib/libvirt/images");
  CHECK(alpha.receive == base::Argv{"ssh", "-oConnectTimeout=10", "-oServerAliveInterval=5", "-oServerAliveCountMax=5",
                                    "root@10.0.0.1", "umbra", "receive"});
  CHECK(alpha.nbd_listen == "10.0.0.1");
  CHECK(alpha.tls_address == "10.0.0.1:7900");
  CHECK(alpha.tls.key_file == "/etc/umbra/alpha.key");
  const model::HostConfig& beta = config.host(model::HostName("beta"));
  CHECK(beta.peer_uri == beta.uri);
  CHECK(beta.tls.ca == "/etc/umbra/ca.pem");
  CHECK(beta.tls.cert == "/etc/umbra/here.pem");
  CHECK(beta.tls.key == "/etc/umbra/here.key");
  CHECK(beta.tls.crl == "/etc/umbra/ca.crl");
  CHECK(beta.networks == std::map<std::string, std::string>{{"br0", "br1"}});

  const model::VmPolicy web = config.policy(model::VmName("web1"));
  CHECK(web.priority == model::Priority::critical);
  CHECK(web.window == base::Seconds{1800});
  CHECK(web.rpo == base::Seconds{60});
  CHECK(web.saturation == std::map<Resource, model::Fraction>{{Resource::cpu, {0.90}}, {Resource::memory, {0.92}}});
  REQUIRE(web.redirect.size() == 4);
  CHECK(web.redirect[0] == model::Redirect{model::HookCommand{"/etc/umbra/redirect.d/dns"}});
  CHECK(web.redirect[1] ==
        model::Redirect{model::HaproxyChange{
                            "/run/haproxy/admin.sock", "web", {{"alpha", "{vm}-a"}, {"beta", "{vm}-b"}}, "", {}, true},
                        base::Millis{5000}, 3});
  CHECK(web.redirect[2] ==
        model::Redirect{model::HaproxyChange{
            "10.0.0.9:9999", "api", {}, "{vm}", {{"alpha", "10.0.0.1:8080"}, {"beta", "10.0.0.2:8080"}}, false}});
  CHECK(
      web.redirect[3] ==
      model::Redirect{model::RouteChange{
          "10.1.0.7/32", {{"alpha", "10.0.0.1"}, {"beta", "10.0.0.2"}}, "eth1", "100", {"ssh", "root@router", "ip"}}});
  CHECK(web.probe == model::ProbeWay{model::HttpProbe{"http://{vm}.example.org/health", 204, ""}});
  CHECK(web.probe_deadline == base::Seconds{10});
  CHECK(web.roll_back_on_failed_probe);
  CHECK(web.after == model::After::hibernate);
  CHECK(web.rollback_window == base::Seconds{3600});
  CHECK(web.retain == 3);
  CHECK(web.retain_for == base::Seconds{30 * 86400.0});
  CHECK(web.downtime_limit == base::Millis{300});
  CHECK(web.blackout_limit == base::Millis{1000});
  CHECK(web.brownout_limit == base::Seconds{120});
  CHECK(web.bytes_limit == model::ByteCount{20ull << 30});
  CHECK(web.auto_converge);
  CHECK_FALSE(web.postcopy);
  CHECK(web.quiesce);
  CHECK(web.bandwidth == model::ByteRate{125e6});
  CHECK(web.candidates == std::vector{model::HostName("alpha"), model::HostName("beta")});
  CHECK(config.policy(model::VmName("db1")).candidates.empty());

  REQUIRE(config.pool.size() == 1);
  CHECK(config.pool[0].name == "small");
  CHECK(config.pool[0].host == model::HostName("beta"));
  CHECK(config.pool[0].memory == model::ByteCount{2ull << 30});
  CHECK(config.pool[0].vcpus == 2);
  CHECK(config.pool[0].disks == std::vector{model::ByteCount{20ull << 30}});
  CHECK(config.pool[0].count == 2);
  CHECK(config.metrics.source == "libvirt");
  CHECK(config.metrics.capacities.net == model::ByteRate{125e6});
  CHECK(config.metrics.capacities.disk == model::ByteRate{200e6});
  CHECK(config.metrics.keep == base::Seconds{90 * 86400.0});
  CHECK(config.metrics.max_size == model::ByteCount{2ull << 30});
  CHECK(config.metrics.step == base::Seconds{60});
  CHECK(config.metrics.timeout == base::Millis{30000});
  CHECK(config.metrics.token_file == "/etc/umbra/prometheus-token");
  CHECK(config.metrics.vm_labels == std::vector<std::string>{"domain", "vm", "Hostname"});
  CHECK(config.metrics.queries.uuid == "libvirt_domain_info_meta");
  CHECK(config.place.headroom == model::Fraction{0.1});
  CHECK(config.place.weights.at("cpu_match") == 1.0);
}

TEST_CASE("a later pattern that matches keeps what it does not set") {
  const model::Config config = loaded(R"(
[vms."*"]
rpo = "10m"
retain = 7
retain_for = "7d"
saturation = { cpu = 0.8, memory = 0.7 }
[vms."web*"]
rpo = "1m"
on_failed_probe = "keep"
saturation = { cpu = 0.95 }
[vms."web-db"]
after = "decommission"
)");
  const model::VmPolicy web = config.policy(model::VmName("web-db"));
  CHECK(web.rpo == base::Seconds{60});
  CHECK(web.retain == 7);
  CHECK(web.retain_for == base::Seconds{7 * 86400.0});
  CHECK(web.saturation.at(Resource::cpu) == model::Fraction{0.95});
  CHECK(web.saturation.at(Resource::memory) == model::Fraction{0.7});
  CHECK(web.after == model::After::decommission);
  CHECK_FALSE(web.roll_back_on_failed_probe);
  const model::VmPolicy other = config.policy(model::VmName("mail"));
  CHECK(other.rpo == base::Seconds{600});
  CHECK(other.after == model::After::hibernate);
  CHECK(other.roll_back_on_failed_probe);
}

TEST_CASE("patterns apply in the order of the file, whatever their names") {
  const model::Config config = loaded("[vms.\"z*\"]\nretain = 1\n[vms.\"*a\"]\nretain = 2\n[vms.\"m\"]\nretain = 3\n");
  REQUIRE(config.vms.size() == 3);
  CHECK(config.vms[0].pattern == "z*");
  CHECK(config.vms[1].pattern == "*a");
  CHECK(config.policy(model::VmName("za")).retain == 2);
}

TEST_CASE("an integer is a fine number where a fraction or a weight is asked for") {
  const model::Config config =
      loaded("[place]\nheadroom = 0\nweights = { cpu = 2 }\n[vms.\"*\"]\nsaturation = { cpu = 1 }\n");
  CHECK(config.place.headroom == model::Fraction{0});
  CHECK(config.place.weights.at("cpu") == 2.0);
}

TEST_CASE("origins tell file and line, and name the defaults") {
  System system;
  const std::string file = system.write("etc/umbra.toml",
                                        "[hosts.alpha]\nuri = \"qemu:///system\"\nreceive = [\"ssh\", \"alpha\"]\n"
                                        "[vms.\"web*\"]\nsaturation = { cpu = 0.9 }\n");
  const model::Config config = system.load();
  const auto same = [](const model::Origin& a, const model::Origin& b) {
    return a.key == b.key && a.value == b.value && a.where == b.where;
  };
  const std::vector<model::Origin> expected{
      {"config", file, "default"},
      {"state.dir", system.path("var"), "default"},
      {"hosts.alpha.uri", "qemu:///system", file + ":2"},
      {"hosts.alpha.receive", "[\"ssh\", \"alpha\"]", file + ":3"},
      {"hosts.alpha.peer_uri", "qemu:///system", "default"},
      {"hosts.alpha.images", "/var/lib/libvirt/images", "default"},
      {"vms.\"web*\".saturation.cpu", "0.9", file + ":5"},
      {"vms.\"*\".priority", "normal", "default"},
      {"vms.\"*\".window", "30m", "default"},
      {"vms.\"*\".rpo", "5m", "default"},
      {"vms.\"*\".probe_deadline", "10s", "default"},
      {"vms.\"*\".on_failed_probe", "rollback", "default"},
      {"vms.\"*\".after", "hibernate", "default"},
      {"vms.\"*\".rollback_window", "1h", "default"},
      {"vms.\"*\".retain", "3", "default"},
      {"vms.\"*\".downtime_limit", "300ms", "default"},
      {"vms.\"*\".auto_converge", "true", "default"},
      {"vms.\"*\".postcopy", "false", "default"},
      {"vms.\"*\".quiesce", "true", "default"},
      {"metrics.source", "libvirt", "default"},
      {"metrics.net_capacity", "119.2 MiB/s", "default"},
      {"metrics.disk_capacity", "190.7 MiB/s", "default"},
      {"metrics.keep", "90d", "default"},
      {"metrics.max_size", "2 GiB", "default"},
      {"place.headroom", "0.1", "default"},
      {"place.cpu_overcommit", "1", "default"},
      {"replicate.every", "1m", "default"},
  };
  for (std::size_t i = 0; i < std::max(expected.size(), config.origins.size()); ++i) {
    REQUIRE(i < expected.size());
    REQUIRE(i < config.origins.size());
    CAPTURE(config.origins[i].key, config.origins[i].value, config.origins[i].where);
    CHECK(same(config.origins[i], expected[i]));
  }
}

TEST_CASE("a password in Prometheus' address is used and not shown") {
  System system;
  system.write("etc/umbra.toml", "[metrics]\nurl = \"https://me:secret@prometheus:9090\"\n");
  const model::Config config = system.load();
  CHECK(config.metrics.url == "https://me:secret@prometheus:9090");
  CHECK(origin_of(config, "metrics.url").value == "https://prometheus:9090");
}

TEST_CASE("libvirt's default alone is no host that was given") {
  System system;
  CHECK_FALSE(system.load().hosts_given);
  system.options.connect = "qemu:///session";
  CHECK(system.load().hosts_given);
}
