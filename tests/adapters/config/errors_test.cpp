// SPDX-License-Identifier: Apache-2.0
// Each mistake with its exact message.
#include <catch2/catch.hpp>

#include "adapters/config/files.hpp"

using namespace umbra;
using namespace umbra::test;

namespace {

/// What is said of a file with this text, without the file's name.
std::string complaint(const std::string& text) {
  System system;
  const std::string file = system.write("etc/umbra.toml", text);
  const base::Error error = system.failure();
  CHECK(error.kind() == base::Kind::usage);
  CHECK(error.hint() == "correct the configuration, then run the command again");
  std::string lines;
  std::string all = error.what();
  for (std::size_t at = 0; (at = all.find(file + ":", at)) != std::string::npos;) all.erase(at, file.size() + 1);
  return all;
}

struct Case {
  std::string text;
  std::string message;
};

void check_all(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(complaint(c.text) == c.message);
  }
}

const std::string alpha = "[hosts.alpha]\nuri = \"qemu:///system\"\n";

}  // namespace

TEST_CASE("unknown keys name the nearest right one") {
  check_all({
      {"[stat]\n", "1:2: unknown key \"stat\"; did you mean \"state\"?"},
      {"colour = 1\n", "1:1: unknown key \"colour\""},
      {"[state]\ndirr = \"/x\"\n", "2:1: unknown key \"dirr\" in [state]; did you mean \"dir\"?"},
      {alpha + "image = \"/x\"\n", "3:1: unknown key \"image\" in [hosts.alpha]; did you mean \"images\"?"},
      {alpha + "nbd = { lissten = \"::\" }\n",
       "3:9: unknown key \"lissten\" in [hosts.alpha.nbd]; did you mean \"listen\"?"},
      {"[vms.\"web*\"]\nwindwo = \"30m\"\n", "2:1: unknown key \"windwo\" in [vms.\"web*\"]; did you mean \"window\"?"},
      {"[vms.\"*\"]\nRPO = \"30m\"\n", "2:1: unknown key \"RPO\" in [vms.\"*\"]; did you mean \"rpo\"?"},
      {"[vms.\"*\"]\nsaturation = { mem = 0.9 }\n", "2:16: unknown key \"mem\" in [vms.\"*\".saturation]"},
      {"[vms.\"*\"]\nsaturation = { memroy = 0.9 }\n",
       "2:16: unknown key \"memroy\" in [vms.\"*\".saturation]; did you mean \"memory\"?"},
      {"[metrics]\nsauce = \"libvirt\"\n", "2:1: unknown key \"sauce\" in [metrics]; did you mean \"source\"?"},
      {"[place]\nheadrom = 0.1\n", "2:1: unknown key \"headrom\" in [place]; did you mean \"headroom\"?"},
  });
}

TEST_CASE("values of a wrong type, unit or range say what was expected") {
  check_all({
      {"[vms.\"web*\"]\nwindow = \"7h\"\n", "2:10: vms.\"web*\".window must be 1m to 6h, not 7h"},
      {"[metrics]\nmax_size = \"1MiB\"\n", "2:12: metrics.max_size must be 16MiB or more, not 1 MiB"},
      {"[state]\ndir = 5\n", "2:7: state.dir must be an absolute path, such as \"/var/lib/umbra\", not 5"},
      {"[state]\ndir = \"here\"\n",
       "2:7: state.dir must be an absolute path, such as \"/var/lib/umbra\", not \"here\""},
      {"state = 5\n", "1:9: state must be a table, not 5"},
      {"hosts = \"alpha\"\n", "1:9: hosts must be tables, such as [hosts.NAME]"},
      {"[hosts]\nalpha = \"qemu:///system\"\n", "2:9: hosts.alpha must be a table, not qemu:///system"},
      {"[hosts.alpha]\nuri = \"alpha\"\n",
       "2:7: hosts.alpha.uri must be a libvirt URI, such as \"qemu+ssh://root@beta/system\", not \"alpha\""},
      {alpha + "receive = \"ssh alpha\"\n",
       "3:11: hosts.alpha.receive must be a list of texts, such as [\"ssh\", \"beta\"], not \"ssh alpha\""},
      {alpha + "receive = [\"ssh\", 22]\n",
       "3:19: hosts.alpha.receive must be a list of texts, such as [\"ssh\", \"beta\"], not 22"},
      {alpha + "networks = { br0 = 1 }\n",
       "3:20: hosts.alpha.networks must be a table of names, such as { br0 = \"br1\" }, not 1"},
      {alpha + "tls = { address = \"beta\", key_file = \"/k\" }\n",
       "3:19: hosts.alpha.tls.address must be an address with its port, such as \"beta:7900\" or \"[fd00::2]:7900\", "
       "not \"beta\""},
      {alpha + "tls = { address = \"fd00::2:7900\", key_file = \"/k\" }\n",
       "3:19: hosts.alpha.tls.address must be an address with its port, such as \"beta:7900\" or \"[fd00::2]:7900\", "
       "not \"fd00::2:7900\""},
      {alpha + "tls = { address = \"beta:70000\", key_file = \"/k\" }\n",
       "3:19: hosts.alpha.tls.address must be an address with its port, such as \"beta:7900\" or \"[fd00::2]:7900\", "
       "not \"beta:70000\""},
      {alpha + "tls = { key_file = \"/k\" }\n",
       "3:20: hosts.alpha.tls has no address, such as address = \"beta:7900\""},
      {alpha + "tls = { address = \"beta:1\", ca = \"/c\", cert = \"/c\" }\n",
       "3:19: hosts.alpha.tls takes either ca, cert and key together, or key_file"},
      {alpha + "tls = { address = \"beta:1\", ca = \"/c\", cert = \"/c\", key = \"/k\", key_file = \"/k\" }\n",
       "3:19: hosts.alpha.tls takes either ca, cert and key together, or key_file"},
      {alpha + "tls = { address = \"beta:1\", key_file = \"k\" }\n",
       "3:40: hosts.alpha.tls.key_file must be an absolute path, such as \"/var/lib/umbra\", not \"k\""},
      {alpha + "nbd = \"10.0.0.1\"\n", "3:7: hosts.alpha.nbd must be a table, not 10.0.0.1"},
      {alpha + "nbd = { listen = \"\" }\n", "3:18: hosts.alpha.nbd.listen must be a text that is not empty, not \"\""},
      {"[vms.\"*\"]\npriority = \"critcal\"\n",
       "2:12: vms.\"*\".priority must be one of \"critical\", \"high\", \"normal\", \"low\" (did you mean "
       "\"critical\"?), not \"critcal\""},
      {"[vms.\"*\"]\npriority = 1\n",
       "2:12: vms.\"*\".priority must be one of \"critical\", \"high\", \"normal\", \"low\", not 1"},
      {"[vms.\"*\"]\nafter = \"delete\"\n",
       "2:9: vms.\"*\".after must be one of \"hibernate\", \"decommission\", not \"delete\""},
      {"[vms.\"*\"]\non_failed_probe = true\n",
       "2:19: vms.\"*\".on_failed_probe must be one of \"rollback\", \"keep\", not true"},
      {"[vms.\"*\"]\nrpo = 300\n", "2:7: vms.\"*\".rpo must be a duration with its unit, such as \"30m\", not 300"},
      {"[vms.\"*\"]\nrpo = \"5\"\n", "2:7: vms.\"*\".rpo must be a duration with its unit, such as \"30m\", not \"5\""},
      {"[vms.\"*\"]\nrpo = \"0s\"\n",
       "2:7: vms.\"*\".rpo must be a duration with its unit, such as \"30m\", not \"0s\""},
      {"[vms.\"*\"]\nwindow = \"2 fortnights\"\n",
       "2:10: vms.\"*\".window must be a duration with its unit, such as \"30m\", not \"2 fortnights\""},
      {"[vms.\"*\"]\ndowntime_limit = 300\n",
       "2:18: vms.\"*\".downtime_limit must be a duration of at least 1ms with its unit, such as \"300ms\", not 300"},
      {"[vms.\"*\"]\npostcopy = \"yes\"\n", "2:12: vms.\"*\".postcopy must be true or false, not \"yes\""},
      {"[vms.\"*\"]\nbandwidth = \"100MB\"\n",
       "2:13: vms.\"*\".bandwidth must be a rate with its unit, such as \"100MiB/s\" or \"1Gbit/s\", not \"100MB\""},
      {"[vms.\"*\"]\nretain = 0\n", "2:10: vms.\"*\".retain must be a whole number of at least 1, not 0"},
      {"[vms.\"*\"]\nretain = 2.5\n", "2:10: vms.\"*\".retain must be a whole number of at least 1, not 2.5"},
      {"[vms.\"*\"]\nsaturation = { cpu = 90 }\n",
       "2:22: vms.\"*\".saturation.cpu must be a fraction from 0 to 1, such as 0.9, not 90"},
      {"[vms.\"*\"]\nsaturation = 0.9\n", "2:14: vms.\"*\".saturation must be a table, not 0.9"},
      {"[vms.\"*\"]\nredirect = [[\"a\"]]\n",
       "2:13: vms.\"*\".redirect[1] must be an executable, such as \"/etc/umbra/redirect.d/dns\", or a table with run, "
       "haproxy or route, not [\"a\"]"},
      {"[vms.\"*\"]\nredirect = \"a\"\n",
       "2:12: vms.\"*\".redirect must be a list of executables and tables, such as [\"/etc/umbra/redirect.d/dns\"], "
       "not "
       "\"a\""},
      {"[vms.\"*\"]\nredirect = [\"a\", { haproxi = \"/s\", backend = \"b\" }]\n",
       "2:18: vms.\"*\".redirect[2] has none of run, haproxy, route; did you mean \"haproxy\"?"},
      {"[vms.\"*\"]\nredirect = [{ haproxy = \"/s\", route = \"10.0.0.7\" }]\n",
       "2:13: vms.\"*\".redirect[1] has haproxy and route at once"},
      {alpha + "[vms.\"*\"]\nredirect = [{ haproxy = \"/s\", backend = \"b\", server = { alpha = \"a\" } }]\n",
       "4:55: vms.\"*\".redirect[1].server must be a text that is not empty, not { alpha = \"a\" }"},
      {"[vms.\"*\"]\nredirect = [{ haproxy = \"/s\", backend = \"b\", serves = { alpha = \"a\" } }]\n",
       "2:46: unknown key \"serves\" in [vms.\"*\".redirect[1]]; did you mean \"servers\"?"},
      {"[vms.\"*\"]\nredirect = [{ haproxy = \"/s\", server = \"a\" }]\n",
       "2:13: vms.\"*\".redirect[1] has no backend; add the one that holds the VM's servers: backend = \"web\""},
      {"[vms.\"*\"]\nredirect = [{ haproxy = \"/s\", backend = \"b\", server = \"a\" }]\n",
       "2:13: vms.\"*\".redirect[1] takes either servers = { alpha = \"web-a\", beta = \"web-b\" }, or server and "
       "addresses "
       "together"},
      {alpha + "[vms.\"*\"]\nredirect = [{ haproxy = \"/s\", backend = \"b\", servers = { alhpa = \"a\" } }]\n",
       "4:56: vms.\"*\".redirect[1].servers names the host \"alhpa\", which has no [hosts.alhpa]; did you mean "
       "\"alpha\"?"},
      {"[vms.\"*\"]\nredirect = [{ haproxy = \"s\" }]\n",
       "2:25: vms.\"*\".redirect[1].haproxy must be the path of a socket or an address with its port, such as "
       "\"/run/haproxy/admin.sock\", not \"s\""},
      {"[vms.\"*\"]\nredirect = [{ route = \"10.1.0.7/33\" }]\n",
       "2:23: vms.\"*\".redirect[1].route must be an IP address or network, such as \"10.1.0.7/32\", not "
       "\"10.1.0.7/33\""},
      {"[vms.\"*\"]\nredirect = [{ route = \"10.1.0.7/32\" }]\n",
       "2:13: vms.\"*\".redirect[1] has no via; add each host's gateway: via = { alpha = \"10.0.0.1\", beta = "
       "\"10.0.0.2\" }"},
      {"[vms.\"*\"]\nredirect = [{ run = \"a\", timeout = \"1h\" }]\n",
       "2:36: vms.\"*\".redirect[1].timeout must be a duration from 100ms to 5m, such as \"10s\", not \"1h\""},
      {"[vms.\"*\"]\nredirect = [{ run = \"a\", retries = 11 }]\n",
       "2:36: vms.\"*\".redirect[1].retries must be a whole number from 0 to 10, not 11"},
      {"[vms.\"*\"]\nprobe = \"10.1.0.7:80\"\n",
       "2:9: vms.\"*\".probe must be a command, such as [\"/usr/local/bin/probe-web\"], \"tcp:10.1.0.7:80\", "
       "\"http://10.1.0.7/health\" without a password, or a table with run, tcp or http, not \"10.1.0.7:80\""},
      {"[vms.\"*\"]\nprobe = { http = \"http://a/\", status = 99 }\n",
       "2:40: vms.\"*\".probe.status must be a status of HTTP, such as 204, not 99"},
      {"[vms.\"*\"]\ncandidates = \"alpha\"\n",
       "2:14: vms.\"*\".candidates must be a list of hosts' names, such as [\"alpha\", \"beta\"], not \"alpha\""},
      {"[metrics]\nsource = \"promethius\"\n",
       "2:10: metrics.source must be one of \"libvirt\", \"prometheus\", \"trace\" (did you mean \"prometheus\"?), not "
       "\"promethius\""},
      {"[metrics]\nnet_capacity = \"10G\"\n",
       "2:16: metrics.net_capacity must be a rate with its unit, such as \"100MiB/s\" or \"1Gbit/s\", not \"10G\""},
      {"[place]\nweights = { cpu = -1 }\n",
       "2:19: place.weights must be a table of numbers that are not negative, such as { cpu_headroom = 2.0 }, not -1"},
      {"[place]\nheadroom = \"10%\"\n",
       "2:12: place.headroom must be a fraction from 0 to 1, such as 0.9, not \"10%\""},
      {"[place]\nheadroom = nan\n", "2:12: place.headroom must be a fraction from 0 to 1, such as 0.9, not nan"},
      {"[place]\ncpu_overcommit = 0\n", "2:18: place.cpu_overcommit must be a number above 0, such as 1.5, not 0"},
  });
}

TEST_CASE("a flavour's numbers carry units") {
  const std::string pool = alpha + "[pool.small]\nhost = \"alpha\"\n";
  check_all({
      {pool + "memory = 2048\ndisks = [\"20GiB\"]\n",
       "5:10: pool.small.memory must be a size with its unit, such as \"2GiB\", not 2048"},
      {pool + "memory = \"2GiB\"\ndisks = [\"20\"]\n",
       "6:10: pool.small.disks must be a size with its unit, such as \"2GiB\", not \"20\""},
      {pool + "memory = \"2GiB\"\ndisks = \"20GiB\"\n",
       "6:9: pool.small.disks must be a list of sizes, such as [\"20GiB\", \"100GiB\"], not \"20GiB\""},
      {pool + "memory = \"2GiB\"\ndisks = [\"20GiB\"]\ncount = -1\n",
       "7:9: pool.small.count must be a whole number, 0 or more, not -1"},
  });
}

TEST_CASE("what is missing, or names what is not there, is told") {
  check_all({
      {"[hosts.alpha]\nimages = \"/x\"\n",
       "1:8: [hosts.alpha] has no uri; add a libvirt URI, such as uri = \"qemu+ssh://root@beta/system\""},
      {alpha + "[pool.small]\n",
       "3:7: [pool.small] has no host; add the host that keeps these shadows, such as host = \"beta\"\n"
       "3:7: [pool.small] has no memory; add a size, such as memory = \"2GiB\"\n"
       "3:7: [pool.small] has no disks; add a list of sizes, such as disks = [\"20GiB\"]"},
      {alpha + "[pool.small]\nhost = \"alhpa\"\nmemory = \"2GiB\"\ndisks = [\"1GiB\"]\n",
       "4:8: pool.small.host names the host \"alhpa\", which has no [hosts.alhpa]; did you mean \"alpha\"?"},
      {alpha + "[vms.\"*\"]\ncandidates = [\"alpha\", \"omega\"]\n",
       "4:14: vms.\"*\".candidates names the host \"omega\", which has no [hosts.omega]"},
      {"[metrics]\nsource = \"prometheus\"\n",
       "2:10: metrics.source is \"prometheus\", but metrics.url does not say where it is"},
      {"[metrics]\nsource = \"trace\"\n",
       "2:10: metrics.source is \"trace\", but metrics.trace does not say which file or folder"},
      {"[metrics]\ncert = \"/a\"\n", "2:8: metrics.cert and metrics.key go together"},
      {"[metrics]\nurl = \"http://p\"\nca = \"/a\"\n",
       "2:7: metrics.url is http://, where metrics.ca and metrics.cert protect nothing: use https://"},
      {"[metrics]\nurl = \"prometheus:9090\"\n",
       "2:7: metrics.url must be an address, such as \"http://prometheus:9090\", not \"prometheus:9090\""},
      {"[metrics]\nstep = \"1d\"\n", "2:8: metrics.step must be 1s to 1h, not 1d"},
      {"[metrics.queries]\ngpus = \"x\"\n", "2:1: unknown key \"gpus\" in [metrics.queries]; did you mean \"gpu\"?"},
  });
}

TEST_CASE("what is no TOML is told with its place") {
  check_all({
      {"[state\ndir = 1\n", "1:7: no valid TOML: Error while parsing table header: expected ']', saw '\\n'"},
      {"[state]\ndir = \"/a\"\ndir = \"/b\"\n",
       "3:7: no valid TOML: Error while parsing key-value pair: cannot redefine existing string 'dir'"},
      {"[state]\ndir = /var\n", "2:7: no valid TOML: Error while parsing value: could not determine value type"},
  });
}

TEST_CASE("all mistakes of all files are told at once, in their order") {
  System system;
  const std::string main = system.write("etc/umbra.toml", "[vms.\"*\"]\nrpo = 5\nwindwo = \"1m\"\n[stat]\n");
  const std::string broken = system.write("etc/conf.d/10.toml", "[\n");
  const std::string last = system.write("etc/conf.d/20.toml", "[hosts.a]\n");
  CHECK(std::string(system.failure().what()) ==
        main + ":2:7: vms.\"*\".rpo must be a duration with its unit, such as \"30m\", not 5\n" + main +
            ":3:1: unknown key \"windwo\" in [vms.\"*\"]; did you mean \"window\"?\n" + main +
            ":4:2: unknown key \"stat\"; did you mean \"state\"?\n" + broken +
            ":1:2: no valid TOML: Error while parsing key: expected bare key starting character or string delimiter, "
            "saw '\\n'\n" +
            last + ":1:8: [hosts.a] has no uri; add a libvirt URI, such as uri = \"qemu+ssh://root@beta/system\"");
}

TEST_CASE("a key that one file leaves out may stand in another") {
  System system;
  system.write("etc/umbra.toml", "[vms.\"*\"]\ncandidates = [\"alpha\"]\n[hosts.alpha]\nimages = \"/x\"\n");
  system.write("etc/conf.d/a.toml", "[hosts.alpha]\nuri = \"qemu:///system\"\n");
  CHECK(system.load().hosts.size() == 1);
}
